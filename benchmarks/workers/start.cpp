// SPDX-License-Identifier: MIT
// From primary.fork() to event::online, of one worker after the other.
//
//   start [--backend process|rings|fork] [--count N] [--memory MIB] [--loaded before|after]
//   start --child FD       writes a byte and ends: what limits/spawn starts for comparison
//
// `--memory` is touched by the primary before its first worker or after it: what a worker of
// backend::fork is a copy of was made with the first.

#include "support.hpp"

#include <cluster/basic_cluster.hpp>
#include <cluster/compose.hpp>

#include <csignal>
#include <memory>

#include <unistd.h>

namespace {

template <typename Primary>
class starter {
public:
    starter(Primary& primary, const support::arguments& from)
        : primary_{primary},
          left_{from.number("--count", 100) + 1}, // the first is a warm-up
          memory_{from.number("--memory", 0)},
          before_{from.text("--loaded", "before") == "before"} {}

    void run() {
        if (before_) {
            support::load_memory(memory_);
        }
        primary_.on(cluster::event::online, [this](auto& worker) {
            online_.push_back(support::microseconds(support::clock_type::now() - begin_));
            worker.kill(SIGKILL);
        });
        primary_.on(cluster::event::exit, [this](auto&) {
            if (!warm_) {
                warm();
            }
            --left_ != 0 ? next() : report();
        });
        next();
    }

private:
    void warm() {
        warm_ = true;
        call_.clear();
        online_.clear();
        if (!before_) {
            support::load_memory(memory_);
        }
    }

    void next() {
        begin_ = support::clock_type::now();
        primary_.fork();
        call_.push_back(support::microseconds(support::clock_type::now() - begin_));
    }

    void report() {
        std::printf("{\"call_us\": %.1f, \"min_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f}\n",
                    support::at_quantile(call_, 0.5),
                    support::at_quantile(online_, 0),
                    support::at_quantile(online_, 0.5),
                    support::at_quantile(online_, 0.9));
        primary_.stop();
    }

    Primary& primary_;
    std::size_t left_;
    std::size_t memory_;
    bool before_;
    bool warm_ = false;
    support::clock_type::time_point begin_;
    std::vector<double> call_;
    std::vector<double> online_;
};

} // namespace

int main(int argc, char** argv) {
    const support::arguments from{argc, argv};
    if (const auto fd = from.number("--child", 0)) {
        return ::write(static_cast<int>(fd), "x", 1) == 1 ? 0 : 1;
    }
    return support::on_backend(from, [&]<typename Backend>(std::type_identity<Backend>) {
        cluster::compose<Backend> app{argc, argv};
        std::shared_ptr<void> state;
        return app.run(
            [&](auto& primary) {
                auto made = std::make_shared<starter<std::remove_reference_t<decltype(primary)>>>(
                    primary, from);
                made->run();
                state = made;
            },
            [](auto&) {});
    });
}
