// SPDX-License-Identifier: MIT
// pick() of each scheduling model that has one, among 4, 100 and 1,000 workers, beside a number that
// goes round.
#include <cluster/scheduling/least_connections.hpp>
#include <cluster/scheduling/power_of_two.hpp>
#include <cluster/scheduling/random.hpp>
#include <cluster/scheduling/round_robin.hpp>
#include <cluster/scheduling/sticky.hpp>
#include <cluster/scheduling/sticky_modulo.hpp>
#include <cluster/scheduling/weighted_round_robin.hpp>

#include "allocations.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace scheduling = cluster::scheduling;

class worker final : public cluster::candidate {
public:
    explicit worker(std::uint32_t slot) {
        id_ = slot + 1;
        slot_ = slot;
    }
    [[nodiscard]] std::size_t connections() const noexcept override { return open_; }
    void open() noexcept { ++open_; }

private:
    std::size_t open_ = 0;
};

struct crew {
    std::vector<std::unique_ptr<worker>> workers;
    std::vector<const cluster::candidate*> view;

    explicit crew(std::uint32_t count) {
        for (std::uint32_t i = 0; i != count; ++i) {
            workers.push_back(std::make_unique<worker>(i));
            view.push_back(workers.back().get());
        }
    }
};

void number(benchmark::State& state, std::uint32_t count) {
    crew all{count};
    std::size_t next = 0;
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        next = next + 1 == all.view.size() ? 0 : next + 1;
        all.workers[next]->open();
    }
    benchmark::DoNotOptimize(next);
}

template <typename Policy>
void pick(benchmark::State& state, std::uint32_t count) {
    crew all{count};
    Policy policy;
    cluster::connection_info from;
    std::uint8_t client = 0;
    const cluster::candidates ready{all.view};
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        from.remote = cluster::address::ipv4({127, 0, 0, ++client}, 80);
        const cluster::choice chosen = policy.pick(ready, from);
        all.workers[chosen.index()]->open();
    }
}

void add(const char* who, void (*run)(benchmark::State&, std::uint32_t)) {
    for (const std::uint32_t count : {4U, 100U, 1000U}) {
        const auto name = "pick() among " + std::to_string(count) + " workers/" + who;
        benchmark::RegisterBenchmark(name.c_str(), run, count);
    }
}

} // namespace

int main(int argc, char** argv) {
    add("raw number", number);
    add("ours round_robin", pick<scheduling::round_robin>);
    add("ours least_connections", pick<scheduling::least_connections>);
    add("ours power_of_two", pick<scheduling::power_of_two>);
    add("ours weighted_round_robin", pick<scheduling::weighted_round_robin>);
    add("ours random", pick<scheduling::random>);
    add("ours sticky", pick<scheduling::sticky<>>);
    add("ours sticky_modulo", pick<scheduling::sticky_modulo>);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
