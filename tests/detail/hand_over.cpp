// SPDX-License-Identifier: MIT
#include <cluster/detail/hand_over.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <cluster/event_loop.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using cluster::unique_fd;
using cluster::detail::channel;
using cluster::detail::channel_owner;
using cluster::detail::connection_source;
using cluster::detail::control_mapping;
using cluster::detail::direction;
using cluster::detail::frame;
using cluster::detail::frame_kind;
using cluster::detail::hand_over_owner;
using cluster::detail::hand_over_queue;
using cluster::detail::hand_over_window;

struct source final : connection_source {
    [[nodiscard]] std::uint32_t key() const noexcept override { return 7; }
    void take_back(unique_fd accepted) override { back.push_back(std::move(accepted)); }
    void take_refused(const hand_over_queue&, unique_fd accepted) override {
        back.push_back(std::move(accepted));
    }
    std::vector<unique_fd> back;
};

/// The primary's side of one worker, whose part of the page the test plays.
struct fixture final : channel_owner, hand_over_owner {
    fixture() {
        unique_fd descriptor;
        std::error_code error = queue.open(descriptor);
        REQUIRE_FALSE(error);
        worker = control_mapping::open(descriptor.get(), error);
        REQUIRE_FALSE(error);
        auto pair = raw::unix_pair();
        link.open(std::move(pair.ours));
        peer = std::move(pair.theirs);
    }
    void on_frame(frame&) override {}
    void on_channel_drained() override {}
    void on_channel_end() override {}
    void on_violation(cluster::errc) override {}
    void on_window_changed() override { ++changes; }
    void on_false_claim() override { ++false_claims; }

    /// Adds some in one turn; they have left when it returns.
    void add(std::size_t count) {
        for (std::size_t i = 0; i != count; ++i) {
            auto pair = raw::unix_pair();
            clients.push_back(std::move(pair.theirs));
            queue.add(from, std::move(pair.ours));
        }
    }
    void claim(std::size_t count) {
        for (std::size_t i = 0; i != count; ++i) {
            CHECK(worker->claim(claimed++));
        }
    }
    /// Does what a frame of the worker's leads to, if it has been asked for one: on a slow machine
    /// the moment after which the primary looks may be over before the test goes on.
    void tell_if_asked() {
        if (worker->asked.take()) {
            CHECK(queue.collect());
        }
    }
    template <typename Condition>
    void run_until(Condition holds) {
        auto poll = loop.every(1ms, [&] {
            if (holds()) {
                loop.stop();
            }
        });
        loop.run();
        poll.cancel();
    }
    void run_for(std::chrono::milliseconds time) {
        loop.after(time, [this] { loop.stop(); });
        loop.run();
    }

    cluster::event_loop loop;
    channel link{loop, *this, direction::to_primary};
    hand_over_queue queue{loop, link, *this};
    control_mapping worker;
    unique_fd peer;
    source from;
    std::vector<unique_fd> clients;
    std::uint32_t claimed = 0;
    int changes = 0;
    int false_claims = 0;
};

} // namespace

TEST_SUITE("detail/hand_over") {
    TEST_CASE("what was claimed is let go of a moment later without a word from the worker") {
        fixture f;
        f.add(3);
        CHECK(f.queue.untaken() == 3);
        f.run_for(0ms);
        f.claim(2);
        f.tell_if_asked();
        CHECK(f.queue.untaken() == 1);
        f.run_until([&] { return f.queue.size() == 1; });
        CHECK(f.worker->load.let_go == 2);
        f.run_until([&] { return f.worker->asked.is_set(); }); // it still waits for one
        CHECK(f.false_claims == 0);
    }

    TEST_CASE("the next one that goes out lets go of what was claimed") {
        fixture f;
        f.add(3);
        f.run_for(0ms);
        f.claim(3);
        f.add(1);
        CHECK(f.queue.size() == 1);
        CHECK(f.worker->load.let_go == 3);
    }

    TEST_CASE("a full window asks and one that has room again in that moment is not behind") {
        fixture f;
        f.add(hand_over_window / 2);
        f.run_for(0ms);
        f.add(1);
        f.claim(hand_over_window / 2);
        f.add(hand_over_window / 2 - 1); // full, but for what has been claimed
        CHECK(f.worker->asked.is_set());
        CHECK(f.queue.has_room());
        f.run_for(60ms);
        CHECK_FALSE(f.queue.is_behind());
    }

    TEST_CASE("a worker whose window stays full is behind until it takes some") {
        fixture f;
        f.add(hand_over_window);
        f.run_for(100ms);
        CHECK(f.queue.is_behind());
        f.claim(1);
        CHECK(f.worker->asked.take()); // and would send a frame, for which:
        CHECK(f.queue.collect());
        CHECK_FALSE(f.queue.is_behind());
        CHECK(f.changes != 0);
    }

    TEST_CASE("who claims what he never got is found") {
        fixture f;
        f.add(1);
        f.run_for(0ms);
        f.worker->position = 5;
        CHECK(f.queue.untaken() == 1);
        f.run_for(50ms);
        CHECK((f.false_claims == 1 || f.worker->asked.take())); // and would be found by its frame
        CHECK_FALSE(f.queue.collect());
    }

    TEST_CASE("what was not claimed goes back at the end") {
        fixture f;
        f.add(3);
        f.run_for(0ms);
        f.claim(1);
        f.queue.close();
        CHECK(f.from.back.size() == 2);
        CHECK(f.queue.handed() == 1);
    }
}
