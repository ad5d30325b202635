// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP
#define CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP

#include "../event_loop.hpp"
#include "control_page.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "turn_hook.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Where a connection comes from: the primary, which has counted it and, if `copied`, keeps a copy
/// until it knows that ours was taken.
struct handed_over {
    bool by_primary = false;
    bool copied = false;
    bool shared = false; // somebody else may have it open
    std::uint32_t sequence = 0;
};

/// What a program in the kernel chooses by, in shared memory.
using load_counter = std::atomic<std::uint32_t>;

/// How many connections of one server are open. Connections may end in any thread, after their
/// server or even its loop: they share the account and nothing else.
class connection_account : public std::enable_shared_from_this<connection_account> {
public:
    /// `changed` runs in the loop's thread after a connection ended while somebody waits.
    connection_account(event_loop& loop,
                       move_only_function<void()> changed,
                       std::shared_ptr<load_counters> load = {})
        : loop_{&loop}, changed_{std::move(changed)}, load_{std::move(load)} {}

    /// What is gone counts there: what is open is less than none. Before the first one.
    void count_at(std::shared_ptr<load_counter> gone) { gone_.push_back(std::move(gone)); }

    [[nodiscard]] std::size_t open() const noexcept { return open_.load(); }
    /// `counted`: where it counts already.
    void opened(const load_counter* counted = nullptr) noexcept {
        open_.fetch_add(1);
        if (load_) {
            load_->accepted.fetch_add(1, std::memory_order_relaxed);
        }
        for (auto& each : gone_) {
            if (each.get() != counted) {
                each->fetch_sub(1, std::memory_order_relaxed);
            }
        }
    }
    /// One that the primary does not know of is about to be opened.
    void found_one() noexcept {
        if (load_) {
            load_->surplus.fetch_add(1, std::memory_order_relaxed);
        }
    }
    void refused(bool handed, load_counter* counted = nullptr) noexcept {
        if (counted != nullptr) {
            counted->fetch_add(1, std::memory_order_relaxed);
        }
        if (load_) {
            load_->refused.fetch_add(1, std::memory_order_relaxed);
            if (handed) {
                load_->surplus.fetch_sub(1, std::memory_order_relaxed);
            }
        }
    }

    /// Before `closed()`: while the primary has its copy of a connection, to close ours does not
    /// end it. Then the bell tells it.
    void leaves(const handed_over& from) noexcept {
        if (has_copy(from)) {
            ring();
        }
    }
    /// Whether the primary still has its copy.
    [[nodiscard]] bool has_copy(const handed_over& from) const noexcept {
        return from.copied && is_held(from.sequence);
    }

    void closed() noexcept {
        open_.fetch_sub(1);
        for (auto& each : gone_) {
            each->fetch_add(1, std::memory_order_relaxed);
        }
        if (load_) { // the primary that sees this finds the others done
            load_->ended.fetch_add(1, std::memory_order_release);
        }
        if (waited_for_.load()) {
            std::lock_guard lock{mutex_};
            if (loop_ != nullptr) {
                loop_->post([self = shared_from_this()] { self->report(); });
            }
        }
    }

    /// Asks for `changed` after every connection that ends from now on.
    void wait_for_changes(bool on) noexcept { waited_for_.store(on); }

    /// Runs `changed`, unless the server is gone. In the loop's thread.
    void report() {
        if (changed_) { // written in the loop's thread only, as this is
            changed_();
        }
    }

    /// Runs at the end of the turn in which the primary should let go of its copies.
    void set_bell(turn_hook* bell) noexcept { bell_ = bell; }

    /// The server is gone: nobody is told any more.
    void detach() noexcept {
        std::lock_guard lock{mutex_};
        loop_ = nullptr;
        bell_ = nullptr;
        changed_ = {};
    }

private:
    [[nodiscard]] bool is_held(std::uint32_t sequence) const noexcept {
        auto let_go = load_->let_go.load(std::memory_order_acquire);
        return static_cast<std::int32_t>(let_go - sequence) <= 0;
    }
    void ring() noexcept {
        if (std::this_thread::get_id() == thread_) {
            if (bell_ != nullptr) {
                loop_->at_turn_end(*bell_);
            }
            return;
        }
        std::lock_guard lock{mutex_};
        if (loop_ != nullptr) {
            loop_->post([self = shared_from_this()] { self->ring(); });
        }
    }

    std::atomic<std::size_t> open_{0};
    std::atomic<bool> waited_for_{false};
    std::mutex mutex_;
    event_loop* loop_;
    std::thread::id thread_ = std::this_thread::get_id(); // the loop's
    turn_hook* bell_ = nullptr;                           // in the loop's thread
    move_only_function<void()> changed_;
    std::vector<std::shared_ptr<load_counter>> gone_;
    std::shared_ptr<load_counters> load_; // of the whole process, where others can see them
};

/// One connection's place in the account of its server.
class connection_ticket {
public:
    connection_ticket() noexcept = default;
    explicit connection_ticket(std::shared_ptr<connection_account> account,
                               handed_over from = {},
                               const load_counter* counted = nullptr) noexcept
        : account_{std::move(account)}, from_{from} {
        if (account_) {
            account_->opened(counted);
        }
    }
    connection_ticket(connection_ticket&&) noexcept = default;
    connection_ticket& operator=(connection_ticket&& other) noexcept {
        reset();
        account_ = std::move(other.account_);
        from_ = other.from_;
        return *this;
    }
    ~connection_ticket() { reset(); }

    /// Somebody else can have the connection open from now on.
    void share() const noexcept { from_.shared = true; }
    /// Whether somebody else, the primary too, may have it open: then to close it does not end it.
    [[nodiscard]] bool is_shared() const noexcept {
        return from_.shared || (account_ && account_->has_copy(from_));
    }

    void reset() noexcept {
        if (account_) {
            leave();
        }
    }

private:
    void leave() noexcept {
        account_->leaves(from_);
        account_->closed();
        account_ = nullptr; // behind the last use: it may be the last owner
    }

    std::shared_ptr<connection_account> account_;
    mutable handed_over from_{.shared = true}; // of one that no server has accepted
};

struct connection_access;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP
