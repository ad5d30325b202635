// SPDX-License-Identifier: MIT
// primary.broadcast() of 1 KiB: the primary's CPU time until the last byte is sent, and the time
// until every worker has it.
//
//   broadcast [--backend process|rings|fork] [--workers N] [--rounds N]      one line of JSON

#include "support.hpp"

#include <cluster/basic_cluster.hpp>
#include <cluster/compose.hpp>

#include <atomic>
#include <memory>
#include <string>

namespace {

struct news {
    std::string text;
};
struct all_know {
    std::uint32_t round = 0;
};

template <typename Primary>
class caller {
public:
    caller(Primary& primary, const support::arguments& from)
        : primary_{primary},
          workers_{from.number("--workers", 10)},
          left_{from.number("--rounds", 100)} {}

    void run() {
        primary_.on_message([this](const all_know&) {
            seen_.push_back(support::microseconds(support::clock_type::now() - begin_));
            --left_ != 0 ? later() : report();
        });
        primary_.fork(workers_);
        primary_.when_ready([this] { later(); });
    }

private:
    void later() { // when they sleep again
        primary_.after(std::chrono::milliseconds{2 + workers_ / 50}, [this] { call(); });
    }

    void call() {
        begin_ = support::clock_type::now();
        const double before = support::cpu_time();
        primary_.broadcast(message_);
        // Behind what this turn sends at its end.
        primary_.loop().defer([this, before] { cpu_.push_back(support::cpu_time() - before); });
    }

    void report() {
        std::printf("{\"cpu_us\": %.2f, \"seen_us\": %.1f}\n",
                    support::at_quantile(cpu_, 0.5),
                    support::at_quantile(seen_, 0.5));
        primary_.disconnect();
    }

    Primary& primary_;
    std::size_t workers_;
    std::size_t left_;
    news message_{std::string(1024, 'x')};
    support::clock_type::time_point begin_;
    std::vector<double> cpu_;
    std::vector<double> seen_;
};

template <typename Self>
void run_worker(Self& self, std::uint32_t workers) {
    auto seen = self.template shared<std::atomic<std::uint32_t>>("seen", 1);
    self.on_message([&self, seen, workers, round = 0U](const news&) mutable {
        ++round;
        if (seen[0].fetch_add(1) + 1 == workers * round) {
            self.send(all_know{round});
        }
    });
    self.ready();
}

} // namespace

int main(int argc, char** argv) {
    support::raise_descriptor_limit();
    const support::arguments from{argc, argv};
    return support::on_backend(from, [&]<typename Backend>(std::type_identity<Backend>) {
        cluster::compose<Backend> app{argc, argv};
        std::shared_ptr<void> state;
        return app.run(
            [&](auto& primary) {
                auto made = std::make_shared<caller<std::remove_reference_t<decltype(primary)>>>(
                    primary, from);
                made->run();
                state = made;
            },
            [&](auto& self) {
                run_worker(self, static_cast<std::uint32_t>(from.number("--workers", 10)));
            });
    });
}
