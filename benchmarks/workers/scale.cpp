// SPDX-License-Identifier: MIT
// A cluster of many workers: its start, what it costs when nobody does anything, a round trip with
// one of them, messages from all of them, a broadcast, and its end.
//
//   scale [--backend process|rings|fork] [--workers N] [--seconds N]      one line of JSON

#include "support.hpp"

#include <cluster/basic_cluster.hpp>
#include <cluster/compose.hpp>

#include <fstream>
#include <memory>
#include <string>

namespace {

constexpr std::size_t messages_a_second = 100; // of each worker
constexpr std::size_t trips = 20000;
constexpr std::chrono::seconds idle_time{2};

struct ping {};
struct begin_to_send {
    std::uint32_t count = 0;
};
struct number {
    std::uint32_t value = 0;
};

template <typename Primary>
class many {
public:
    many(Primary& primary, const support::arguments& from)
        : primary_{primary},
          workers_{from.number("--workers", 10)},
          messages_{messages_a_second * from.number("--seconds", 3)} {}

    void run() {
        primary_.on(cluster::event::exit, [this](auto&, const cluster::exit_status& status) {
            clean_ += status.code() == 0 ? 1U : 0U;
        });
        primary_.on_message([this](const ping&) { --left_ != 0 ? trip() : end_of_trips(); });
        primary_.on_message([this](const number&) {
            if (++received_ == workers_ * messages_) {
                end_of_messages();
            }
        });
        mark();
        primary_.fork(workers_);
        primary_.when_ready([this] {
            start_ms_ = wall() / 1e3;
            start_cpu_us_ = cpu() / static_cast<double>(workers_);
            settle();
        });
    }

private:
    void mark() {
        wall_ = support::clock_type::now();
        cpu_ = support::cpu_time();
    }
    double wall() const { return support::microseconds(support::clock_type::now() - wall_); }
    double cpu() const { return support::cpu_time() - cpu_; }

    // In microseconds: the scheduler's own count, as an idle worker takes less than a clock tick.
    double cpu_of_workers() const {
        double sum = 0;
        for (const auto& each : primary_.workers()) {
            std::ifstream file{"/proc/" + std::to_string(each.pid()) + "/schedstat"};
            double nanoseconds = 0;
            file >> nanoseconds;
            sum += nanoseconds / 1e3;
        }
        return sum;
    }

    void settle() {
        primary_.after(std::chrono::milliseconds{500}, [this] {
            idle_before_ = cpu_of_workers();
            mark();
            primary_.after(idle_time, [this] {
                const auto seconds = wall() / 1e6;
                idle_primary_us_ = cpu() / seconds;
                idle_worker_us_ =
                    (cpu_of_workers() - idle_before_) / seconds / static_cast<double>(workers_);
                left_ = trips;
                mark();
                trip();
            });
        });
    }

    void trip() { primary_.workers()[0].send(ping{}); }

    void end_of_trips() {
        trip_us_ = wall() / trips;
        trip_cpu_ns_ = cpu() * 1e3 / trips;
        mark();
        primary_.broadcast(begin_to_send{static_cast<std::uint32_t>(messages_)});
        primary_.loop().defer([this] { broadcast_cpu_us_ = cpu(); });
    }

    void end_of_messages() {
        messages_s_ = wall() / 1e6;
        message_cpu_ns_ = cpu() * 1e3 / static_cast<double>(workers_ * messages_);
        mark();
        primary_.disconnect([this] { report(); });
    }

    void report() {
        std::printf("{\"start_ms\": %.1f, \"start_cpu_us\": %.1f, \"idle_primary_us\": %.1f, "
                    "\"idle_worker_us\": %.2f, \"trip_us\": %.1f, \"trip_cpu_ns\": %.0f, "
                    "\"broadcast_cpu_us\": %.1f, \"received\": %zu, \"messages_s\": %.2f, "
                    "\"message_cpu_ns\": %.0f, \"end_ms\": %.1f, \"unclean\": %zu}\n",
                    start_ms_,
                    start_cpu_us_,
                    idle_primary_us_,
                    idle_worker_us_,
                    trip_us_,
                    trip_cpu_ns_,
                    broadcast_cpu_us_,
                    received_,
                    messages_s_,
                    message_cpu_ns_,
                    wall() / 1e3,
                    workers_ - clean_);
    }

    Primary& primary_;
    std::size_t workers_;
    std::size_t messages_; // of each worker
    std::size_t left_ = 0;
    std::size_t received_ = 0;
    std::size_t clean_ = 0;
    support::clock_type::time_point wall_;
    double cpu_ = 0;
    double start_ms_ = 0;
    double start_cpu_us_ = 0;
    double idle_before_ = 0;
    double idle_primary_us_ = 0;
    double idle_worker_us_ = 0;
    double trip_us_ = 0;
    double trip_cpu_ns_ = 0;
    double broadcast_cpu_us_ = 0;
    double messages_s_ = 0;
    double message_cpu_ns_ = 0;
};

template <typename Self>
void run_worker(Self& self) {
    self.on_message([&self](const ping& got) { self.send(got); });
    self.on_message([&self](const begin_to_send& order) {
        auto sender = std::make_shared<cluster::timer>();
        *sender = self.every(std::chrono::milliseconds{1000 / messages_a_second},
                             [&self, sender, left = order.count]() mutable {
                                 self.send(number{left});
                                 if (--left == 0) {
                                     sender->cancel();
                                 }
                             });
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
                auto made = std::make_shared<many<std::remove_reference_t<decltype(primary)>>>(
                    primary, from);
                made->run();
                state = made;
            },
            [](auto& self) { run_worker(self); });
    });
}
