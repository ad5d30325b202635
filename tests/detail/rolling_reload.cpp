// SPDX-License-Identifier: MIT
#include <cluster/detail/rolling_reload.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace detail = cluster::detail;
using outcome = detail::replacements::outcome;

namespace {

class fake_owner final : public detail::worker_owner {
public:
    explicit fake_owner(cluster::event_loop& loop) : worker_owner{loop} {}
    ~fake_owner() = default;

private:
    void on_worker_frame(detail::worker_core&, detail::frame&) override {}
    void on_worker_up(detail::worker_core&) override {}
    void on_worker_lost(detail::worker_core&) override {}
    void on_worker_over(detail::worker_core&) override {}
    void on_worker_dead(detail::worker_core&) override {}
    [[nodiscard]] std::string serializer_name() const override { return "none"; }
};

/// A worker that is nothing but connected.
class fake_worker final : public detail::worker_core {
public:
    fake_worker(fake_owner& owner,
                std::uint32_t id,
                std::uint32_t slot,
                std::shared_ptr<const detail::program_generation> generation)
        : worker_core{owner, id, slot, {{}, {}, std::move(generation)}} {
        cluster::unique_fd ours;
        REQUIRE_FALSE(detail::os::make_channel(ours, theirs_));
        REQUIRE_FALSE(channel_.open(std::move(ours)));
    }

private:
    void on_user_frame(detail::frame&) override {}
    void on_gone() override {}
    void on_departed() override {}

    cluster::unique_fd theirs_;
};

/// What the reload asks its primary for is written down; the test says how it went.
class fake_primary {
public:
    explicit fake_primary(std::size_t workers) {
        // Not in the order of their slots.
        for (auto slot = static_cast<std::uint32_t>(workers); slot-- != 0;) {
            add(slot, generation(1));
        }
    }

    // The interface.
    using workers_type = std::vector<std::unique_ptr<fake_worker>>;
    [[nodiscard]] const workers_type& workers() const { return workers_; }
    [[nodiscard]] bool has_room_for_generation(const cluster::reload_options& options) const {
        return room && options.max_generations != 0;
    }
    std::shared_ptr<const detail::program_generation> new_generation(std::string& error) {
        error = open_error;
        return generation(++last_);
    }
    void replace(detail::worker_core& old,
                 const std::shared_ptr<const detail::program_generation>& target,
                 const cluster::reload_options&,
                 bool drain_first,
                 detail::replacements::done_function done) {
        log += (drain_first ? "drain " : "start ") + std::to_string(old.slot()) + "; ";
        running_.push_back({&old, target, std::move(done)});
    }
    [[nodiscard]] bool is_being_replaced(const detail::worker_core& one) const {
        return std::any_of(
            running_.begin(), running_.end(), [&](const auto& each) { return each.old == &one; });
    }
    [[nodiscard]] bool expects_workers() const { return !workers_.empty(); }
    void cancel(const detail::program_generation& target) {
        log += "cancel " + std::to_string(target.number) + "; ";
        running_.clear();
    }
    void commit(const std::shared_ptr<const detail::program_generation>& target) {
        log += "commit " + std::to_string(target->number) + "; ";
    }
    void reload_began() { ++began; }
    void
    reloaded(const cluster::reload_report& report,
             std::vector<detail::move_only_function<void(const cluster::reload_report&)>> calls,
             detail::move_only_function<void()> then) {
        log += report.ok() ? "ok; " : report.reason() + "; ";
        reports.push_back(report);
        for (auto& each : calls) {
            each(report);
        }
        then_.push_back(std::move(then));
    }

    // The test's side.
    void next_turn() {
        for (auto& each : std::exchange(then_, {})) {
            each();
        }
    }
    /// The replacement in this slot has come up, or not.
    void came_up(std::uint32_t slot, const std::string& failure = {}) {
        auto found = std::find_if(running_.begin(), running_.end(), [slot](const auto& each) {
            return each.old->slot() == slot;
        });
        REQUIRE(found != running_.end());
        auto done = std::move(*found);
        running_.erase(found);
        if (failure.empty()) {
            remove(*done.old);
            add(slot, done.target);
        }
        done.done(failure.empty() ? outcome::replaced : outcome::failed, failure);
    }
    /// The end of the only replacement that runs, for later.
    [[nodiscard]] detail::replacements::done_function take_done() {
        auto done = std::move(running_.at(0).done);
        running_.clear();
        return done;
    }
    void add(std::uint32_t slot, std::shared_ptr<const detail::program_generation> target) {
        workers_.push_back(
            std::make_unique<fake_worker>(owner_, ++last_id_, slot, std::move(target)));
    }
    void remove(const detail::worker_core& which) {
        std::erase_if(workers_, [&](const auto& each) { return each.get() == &which; });
    }
    void remove_slot(std::uint32_t slot) {
        std::erase_if(workers_, [slot](const auto& each) { return each->slot() == slot; });
    }
    [[nodiscard]] static std::shared_ptr<const detail::program_generation>
    generation(std::uint32_t number) {
        return std::make_shared<detail::program_generation>(detail::program_generation{number, {}});
    }
    std::string take_log() { return std::exchange(log, {}); }

    bool room = true;
    std::string open_error, log;
    std::size_t began = 0;
    std::vector<cluster::reload_report> reports;

private:
    struct replacement {
        detail::worker_core* old;
        std::shared_ptr<const detail::program_generation> target;
        detail::replacements::done_function done;
    };

    cluster::event_loop loop_;
    fake_owner owner_{loop_};
    workers_type workers_;
    std::vector<replacement> running_;
    std::vector<detail::move_only_function<void()>> then_;
    std::uint32_t last_ = 1, last_id_ = 0;
};

using reload = detail::rolling_reload<fake_primary>;

} // namespace

TEST_CASE("a reload replaces one worker after the other in the order of their places") {
    fake_primary primary{3};
    reload tested{primary};
    CHECK_FALSE(tested.is_running());
    tested.ask({}, {});
    CHECK(tested.is_running());
    CHECK(primary.take_log() == "start 0; ");
    primary.came_up(0);
    CHECK(primary.take_log() == "start 1; ");
    primary.came_up(1);
    CHECK(primary.take_log() == "start 2; ");
    primary.came_up(2);
    CHECK(primary.take_log() == "commit 2; ok; ");
    CHECK_FALSE(tested.is_running());
    CHECK(primary.reports[0].replaced() == 3);
    CHECK(primary.reports[0].generation() == 2);
}

TEST_CASE("a reload starts as many at a time as its surge says") {
    fake_primary primary{4};
    reload tested{primary};
    tested.ask({.max_surge = 3}, {});
    CHECK(primary.take_log() == "start 0; start 1; start 2; ");
    primary.came_up(1);
    CHECK(primary.take_log() == "start 3; ");
    primary.came_up(3);
    primary.came_up(0);
    CHECK(primary.take_log() == "");
    primary.came_up(2);
    CHECK(primary.take_log() == "commit 2; ok; ");
}

TEST_CASE("as many workers as may be unavailable drain before their successors are ready") {
    fake_primary primary{4};
    reload tested{primary};
    tested.ask({.max_surge = 1, .max_unavailable = 1}, {});
    CHECK(primary.take_log() == "drain 0; start 1; ");
    primary.came_up(1);
    CHECK(primary.take_log() == "start 2; "); // one drains still
    primary.came_up(0);
    CHECK(primary.take_log() == "drain 3; ");
}

TEST_CASE("a reload that may neither surge nor drain goes on one by one") {
    fake_primary primary{2};
    reload tested{primary};
    tested.ask({.max_surge = 0, .max_unavailable = 0}, {});
    CHECK(primary.take_log() == "start 0; ");
    primary.came_up(0);
    CHECK(primary.take_log() == "start 1; ");
}

TEST_CASE("a reload of no workers has succeeded") {
    fake_primary primary{0};
    reload tested{primary};
    tested.ask({}, {});
    CHECK(primary.take_log() == "commit 2; ok; ");
    CHECK(primary.reports[0].replaced() == 0);
}

TEST_CASE("requests during a reload are one more reload with the last one's options") {
    fake_primary primary{2};
    reload tested{primary};
    std::vector<std::pair<int, std::uint32_t>> told;
    auto tell = [&told](int number) {
        return [&told, number](const cluster::reload_report& report) {
            told.emplace_back(number, report.generation());
        };
    };
    tested.ask({}, tell(1));
    tested.ask({}, tell(2));
    tested.ask({}, {});
    tested.ask({.max_surge = 2}, tell(3));
    CHECK(primary.take_log() == "start 0; ");
    primary.came_up(0);
    primary.came_up(1);
    CHECK(primary.take_log() == "start 1; commit 2; ok; ");
    CHECK(told == std::vector<std::pair<int, std::uint32_t>>{{1, 2}});
    CHECK_FALSE(tested.is_running());
    primary.next_turn();
    CHECK(primary.take_log() == "start 0; start 1; ");
    primary.came_up(1);
    primary.came_up(0);
    CHECK(primary.take_log() == "commit 3; ok; ");
    CHECK(told == std::vector<std::pair<int, std::uint32_t>>{{1, 2}, {2, 3}, {3, 3}});
    primary.next_turn();
    CHECK_FALSE(tested.is_running());
}

TEST_CASE("a request between two reloads joins the one that waits") {
    fake_primary primary{1};
    reload tested{primary};
    std::size_t told = 0;
    auto count = [&told](const cluster::reload_report&) { ++told; };
    tested.ask({}, {});
    tested.ask({}, count);
    primary.came_up(0);
    tested.ask({}, count); // begins it at once
    CHECK(tested.is_running());
    primary.next_turn();
    primary.came_up(0);
    primary.next_turn();
    CHECK(told == 2);
    CHECK(primary.take_log() == "start 0; commit 2; ok; start 0; commit 3; ok; ");
    CHECK(primary.began == 2);
}

TEST_CASE("the first worker that does not come up ends the reload") {
    fake_primary primary{4};
    reload tested{primary};
    tested.ask({.max_surge = 2}, {});
    primary.came_up(0);
    primary.take_log();
    primary.came_up(1, "it fell ill");
    CHECK(primary.take_log() == "cancel 2; it fell ill; ");
    CHECK_FALSE(tested.is_running());
    CHECK(primary.reports[0].replaced() == 1);
    CHECK(primary.reports[0].generation() == 2);
    tested.go_on();
    CHECK(primary.take_log() == "");
}

TEST_CASE("a reload that was asked for during one that fails is made") {
    fake_primary primary{2};
    reload tested{primary};
    tested.ask({}, {});
    tested.ask({}, {});
    primary.came_up(0, "it fell ill");
    primary.next_turn();
    CHECK(primary.take_log() == "start 0; cancel 2; it fell ill; start 0; ");
    primary.came_up(0);
    primary.came_up(1);
    CHECK(primary.take_log() == "start 1; commit 3; ok; ");
}

TEST_CASE("a replacement of a reload that is over says nothing to the next one") {
    fake_primary primary{2};
    reload tested{primary};
    tested.ask({}, {});
    auto late = primary.take_done();
    tested.abandon("never mind");
    tested.ask({}, {});
    primary.take_log();
    late(outcome::failed, "too late");
    CHECK(tested.is_running());
    CHECK(primary.take_log() == "");
}

TEST_CASE("a program that cannot be opened ends the reload before it replaces anybody") {
    fake_primary primary{2};
    reload tested{primary};
    primary.open_error = "server: No such file or directory";
    tested.ask({}, {});
    CHECK(primary.take_log() == "cancel 2; server: No such file or directory; ");
    CHECK(primary.began == 1); // as often as it ended
    CHECK_FALSE(tested.is_running());
}

TEST_CASE("a reload waits while there is no room for one more generation") {
    fake_primary primary{1};
    reload tested{primary};
    primary.room = false;
    tested.ask({}, {});
    tested.go_on();
    CHECK(tested.is_running());
    CHECK(primary.take_log() == "");
    primary.room = true;
    tested.go_on(); // somebody has gone
    CHECK(primary.take_log() == "start 0; ");
}

TEST_CASE("workers that come and go during a reload are no reason to fail") {
    fake_primary primary{3};
    reload tested{primary};
    tested.ask({}, {});
    primary.remove_slot(1);
    tested.go_on();
    primary.add(3, fake_primary::generation(1)); // forked meanwhile, of the old program
    primary.add(4, fake_primary::generation(2)); // of the new one
    primary.came_up(0);
    primary.came_up(2);
    primary.came_up(3);
    CHECK(primary.take_log() == "start 0; start 2; start 3; commit 2; ok; ");
    CHECK(primary.reports[0].replaced() == 3);
}

TEST_CASE("a worker that leaves is not replaced") {
    fake_primary primary{2};
    reload tested{primary};
    primary.workers()[1]->disconnect(); // slot 0
    tested.ask({}, {});
    primary.came_up(1);
    CHECK(primary.take_log() == "start 1; commit 2; ok; ");
}

TEST_CASE("an abandoned reload takes the one behind it along") {
    fake_primary primary{2};
    reload tested{primary};
    std::vector<std::string> told;
    auto tell = [&told](const cluster::reload_report& report) { told.push_back(report.reason()); };
    tested.ask({}, tell);
    tested.ask({}, tell);
    tested.abandon("it is late");
    CHECK(told == std::vector<std::string>(2, "it is late"));
    primary.next_turn();
    CHECK_FALSE(tested.is_running());
    CHECK(primary.take_log() == "start 0; cancel 2; it is late; ");
    tested.abandon("again"); // nothing runs
    CHECK(primary.reports.size() == 1);
}

TEST_CASE("a reload that is abandoned before it begins does not begin") {
    fake_primary primary{1};
    reload tested{primary};
    std::vector<std::string> told;
    tested.ask({}, {});
    tested.ask({},
               [&told](const cluster::reload_report& report) { told.push_back(report.reason()); });
    primary.came_up(0);
    primary.take_log();
    tested.abandon("it is late"); // the second would begin in the next turn
    primary.next_turn();
    CHECK_FALSE(tested.is_running());
    CHECK(told == std::vector<std::string>{"it is late"});
    CHECK(primary.take_log() == "it is late; ");
}
