// SPDX-License-Identifier: MIT
// What happens a thousand times a second allocates nothing once it has happened a few times: counted
// by an operator new of its own, in the primary and in its worker.
#include "../fixtures/scenario.hpp"
#include "../support/allocations.hpp"
#include "../support/every_backend.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <unistd.h>

using namespace cluster_test;

namespace {

constexpr int warm_up = 500;
constexpr int counted = 2000;

struct ball {
    std::uint64_t number = 0;
};
struct count_request {};
struct count_reply {
    std::uint64_t allocations = 0;
};

template <typename Self>
void tell_count(Self& self) {
    self.on_message([&self](const count_request&) { self.send(count_reply{allocations}); });
}

/// What was allocated in the primary and in its worker between two moments.
class both_counts {
public:
    /// Calls `act()` behind the first moment; finish() is the second one.
    template <typename Primary, typename F>
    void start(Primary& primary, F act) {
        finish_ = [&primary] { primary.workers().at(0).send(count_request{}); };
        primary.on_message([this, act, &primary](const count_reply& told) mutable {
            ++answers_;
            if (answers_ == 1) { // the first answer that there is may allocate
                finish_();
            } else if (answers_ == 2) {
                of_worker_ = told.allocations;
                of_primary_ = allocations;
                act();
            } else {
                of_primary_ = allocations - of_primary_;
                of_worker_ = told.allocations - of_worker_;
                primary.shutdown();
            }
        });
        finish_();
    }
    void finish() { finish_(); }

    void check() const {
        CHECK(answers_ == 3);
        CHECK(of_primary_ == 0);
        CHECK(of_worker_ == 0);
    }

private:
    std::function<void()> finish_;
    std::uint64_t of_primary_ = 0, of_worker_ = 0;
    int answers_ = 0;
};

/// A client in a thread of its own, whose allocations are nobody's: does something `warm_up` times,
/// then waits, then `counted` times.
class client {
public:
    /// `once(address)` is called each time. `seen` counts from the first part to the second.
    template <typename Primary, typename F>
    void start(Primary& primary, both_counts& seen, F once) {
        thread_ = std::thread{[this, once]() mutable {
            for (int i = 0; i != warm_up + counted; ++i) {
                once();
                done_.store(i + 1);
                while (i + 1 == warm_up && !goes_on_.load()) {
                    ::usleep(1000);
                }
            }
        }};
        scenario::when(
            primary,
            [this] { return done_.load() == warm_up; },
            [this, &primary, &seen] {
                seen.start(primary, [this] { goes_on_.store(true); });
                scenario::when(
                    primary,
                    [this] { return done_.load() == warm_up + counted; },
                    [&seen] { seen.finish(); });
            });
    }
    client() = default;
    client(client&&) = delete;
    ~client() {
        goes_on_.store(true);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

private:
    std::atomic<int> done_{0};
    std::atomic<bool> goes_on_{false};
    std::thread thread_;
};

} // namespace

TEST_CASE("timers and deferred calls allocate nothing") {
    cluster::event_loop loop;
    int runs = 0;
    std::size_t before = 0, during = 0;
    struct step {
        cluster::event_loop& loop;
        int& runs;
        std::size_t& before;
        std::size_t& during;
        void operator()() const {
            if (++runs == warm_up) {
                before = allocations;
            }
            if (runs == warm_up + counted) {
                during = allocations - before;
                return;
            }
            auto never = loop.after(std::chrono::hours{1}, [] {});
            if (runs % 10 != 0) {
                loop.defer(*this);
            } else {
                loop.after(std::chrono::nanoseconds{0}, *this);
            }
            never.cancel();
        }
    };
    loop.defer(step{loop, runs, before, during});
    loop.run();
    CHECK(runs == warm_up + counted);
    CHECK(during == 0);
}

CLUSTER_CASE_ON(processes, "messages allocate nothing on their way there and back") {
    both_counts seen;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            primary.on_message([&](auto& from, const ball& back) {
                if (back.number == warm_up) {
                    seen.start(primary, [&from] { from.send(ball{warm_up + 1}); });
                } else if (back.number == warm_up + counted) {
                    seen.finish();
                } else {
                    from.send(ball{back.number + 1});
                }
            });
            worker.send(ball{1});
        },
        [](auto& self) {
            tell_count(self);
            self.on_message([&self](const ball& thrown) { self.send(thrown); });
        });
    seen.check();
}

namespace {

/// A connection that the server closes, from its first byte to its last.
void visit(const cluster::address& at) {
    auto socket = connect_socket(at);
    char byte = 0;
    [[maybe_unused]] auto end = ::read(socket.get(), &byte, 1);
}

template <typename Scheduling>
void serves_without_allocating() {
    both_counts seen;
    client visitor;
    run_on<cluster::backend::process, Scheduling>(
        [&](auto& primary) {
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& at) {
                visitor.start(primary, seen, [at] { visit(at); });
            });
            primary.fork();
        },
        [](auto& self) {
            tell_count(self);
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
        });
    seen.check();
}

} // namespace

TEST_CASE("a worker that accepts allocates nothing") {
    serves_without_allocating<cluster::scheduling::reuse_port>();
}
TEST_CASE("connections that the primary hands out allocate nothing") {
    serves_without_allocating<cluster::scheduling::round_robin>();
}

TEST_CASE("bytes on a connection allocate nothing") {
    both_counts seen;
    client talker;
    run_on<cluster::backend::process>(
        [&](auto& primary) {
            primary.once(cluster::event::listening, [&](auto&, const cluster::address& at) {
                auto socket = std::make_shared<cluster::unique_fd>(connect_socket(at));
                talker.start(primary, seen, [socket] {
                    char byte = 'x';
                    [[maybe_unused]] auto sent = ::write(socket->get(), &byte, 1);
                    [[maybe_unused]] auto back = ::read(socket->get(), &byte, 1);
                });
            });
            primary.fork();
        },
        [](auto& self) {
            tell_count(self);
            self.listen({.host = "127.0.0.1"}, [&self](cluster::connection accepted) {
                auto& peer = self.attach(std::move(accepted));
                peer.on_data([&peer](cluster::stream::bytes bytes) {
                    peer.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
                });
            });
        });
    seen.check();
}
