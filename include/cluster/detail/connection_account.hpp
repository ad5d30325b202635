// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP
#define CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP

#include "../event_loop.hpp"
#include "control_page.hpp"
#include "move_only_function.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How many connections of one server are open. Connections may end in any thread, after their
/// server or even its loop: they share the account and nothing else.
class connection_account : public std::enable_shared_from_this<connection_account> {
public:
    /// `changed` runs in the loop's thread after a connection ended while somebody waits.
    connection_account(event_loop& loop,
                       move_only_function<void()> changed,
                       std::shared_ptr<load_counters> load = {})
        : loop_{&loop}, changed_{std::move(changed)}, load_{std::move(load)} {}

    /// What is open counts there, too. Before the first one.
    void count_at(std::shared_ptr<std::atomic<std::uint32_t>> active) {
        active_.push_back(std::move(active));
    }

    [[nodiscard]] std::size_t open() const noexcept { return open_.load(); }
    void opened() noexcept {
        open_.fetch_add(1);
        if (load_) {
            load_->accepted.fetch_add(1, std::memory_order_relaxed);
        }
        for (auto& each : active_) {
            each->fetch_add(1, std::memory_order_relaxed);
        }
    }
    /// One that the primary does not know of is about to be opened.
    void found_one() noexcept {
        if (load_) {
            load_->surplus.fetch_add(1, std::memory_order_relaxed);
        }
    }
    void refused(bool handed) noexcept {
        if (load_) {
            load_->refused.fetch_add(1, std::memory_order_relaxed);
            if (handed) {
                load_->surplus.fetch_sub(1, std::memory_order_relaxed);
            }
        }
    }

    void closed() noexcept {
        open_.fetch_sub(1);
        for (auto& each : active_) {
            each->fetch_sub(1, std::memory_order_relaxed);
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

    /// The server is gone: nobody is told any more.
    void detach() noexcept {
        std::lock_guard lock{mutex_};
        loop_ = nullptr;
        changed_ = {};
    }

private:
    std::atomic<std::size_t> open_{0};
    std::atomic<bool> waited_for_{false};
    std::mutex mutex_;
    event_loop* loop_;
    move_only_function<void()> changed_;
    std::vector<std::shared_ptr<std::atomic<std::uint32_t>>> active_;
    std::shared_ptr<load_counters> load_; // of the whole process, where others can see them
};

/// One connection's place in the account of its server.
class connection_ticket {
public:
    connection_ticket() noexcept = default;
    explicit connection_ticket(std::shared_ptr<connection_account> account) noexcept
        : account_{std::move(account)} {
        if (account_) {
            account_->opened();
        }
    }
    connection_ticket(connection_ticket&&) noexcept = default;
    connection_ticket& operator=(connection_ticket&& other) noexcept {
        reset();
        account_ = std::move(other.account_);
        return *this;
    }
    ~connection_ticket() { reset(); }

    void reset() noexcept {
        if (auto account = std::exchange(account_, nullptr)) {
            account->closed();
        }
    }

private:
    std::shared_ptr<connection_account> account_;
};

struct connection_access;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CONNECTION_ACCOUNT_HPP
