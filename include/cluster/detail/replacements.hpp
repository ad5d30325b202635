// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_REPLACEMENTS_HPP
#define CLUSTER_DETAIL_REPLACEMENTS_HPP

#include "../event_loop.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "worker_core.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Workers that give their places to fresh ones: the fresh one has started, and when it is up the
/// old one drains. When it does not come up it goes, and the old one stays.
class replacements {
public:
    enum class outcome { replaced, failed, forgone }; // forgone: the place is not needed any more
    /// Called once, unless everything ends; with why it failed, if it did.
    using done_function = move_only_function<void(outcome how, const std::string& failure)>;

    explicit replacements(event_loop& loop) noexcept : loop_{loop} {}
    ~replacements() { forget_all(); }
    replacements(replacements&&) = delete;
    replacements& operator=(replacements&&) = delete;

    void begin(worker_core& old,
               worker_core& fresh,
               std::chrono::nanoseconds ready_timeout,
               std::chrono::nanoseconds drain_deadline,
               done_function done) {
        auto& made = running_.emplace_back(std::make_unique<exchange>());
        made->old = &old;
        made->fresh = &fresh;
        made->until_ready = old.is_ready(); // else it is not the kind that ever says so
        made->drain_deadline = drain_deadline;
        made->done = std::move(done);
        made->limit = loop_.after(ready_timeout, [this, &one = *made, ready_timeout] {
            auto seconds = std::chrono::duration<double>{ready_timeout}.count();
            auto text = std::to_string(seconds);
            fail(one, "was not ready after " + text.substr(0, text.find('.') + 3) + " s");
        });
    }

    [[nodiscard]] std::size_t size() const noexcept { return running_.size(); }
    [[nodiscard]] bool has_fresh(const worker_core& one) const noexcept {
        return find([&one](const exchange& each) { return each.fresh == &one; }) != nullptr;
    }
    [[nodiscard]] bool has_old(const worker_core& one) const noexcept {
        return find([&one](const exchange& each) { return each.old == &one; }) != nullptr;
    }

    /// A worker's loop turns, or it is ready.
    void on_up(worker_core& one) {
        exchange* found = find([&one](const exchange& each) { return each.fresh == &one; });
        if (found == nullptr || !(found->until_ready ? one.is_ready() : one.is_up())) {
            return;
        }
        auto finished = take(*found);
        if (finished->old != nullptr) {
            finished->old->drain(finished->drain_deadline, exit_reason::recycled);
        }
        finished->done(outcome::replaced, {});
    }

    void on_dead(const worker_core& one) {
        if (exchange* found = find([&one](const exchange& each) { return each.old == &one; })) {
            found->old = nullptr; // the fresh one goes on alone
        }
        if (exchange* found = find([&one](const exchange& each) { return each.fresh == &one; })) {
            fail(*found, "ended before it was ready: " + one.status().to_string());
        }
    }

    /// The old one shall go, or the reload has failed: its fresh one goes as well.
    void cancel(const worker_core& old) {
        if (exchange* found = find([&old](const exchange& each) { return each.old == &old; })) {
            // One that hangs has no connections to wait for, and never reads that it shall go.
            auto cancelled = take(*found);
            cancelled->fresh->drain(std::chrono::seconds{5}, std::nullopt);
            cancelled->done(outcome::forgone, {});
        }
    }
    void forget_all() noexcept {
        for (auto& each : running_) {
            each->limit.cancel();
        }
        running_.clear();
    }

private:
    struct exchange {
        worker_core* old = nullptr; // null: dead
        worker_core* fresh = nullptr;
        bool until_ready = true;
        std::chrono::nanoseconds drain_deadline{0};
        timer limit;
        done_function done;
    };

    template <typename Predicate>
    [[nodiscard]] exchange* find(Predicate is_it) const noexcept {
        for (const auto& each : running_) {
            if (is_it(*each)) {
                return each.get();
            }
        }
        return nullptr;
    }

    std::unique_ptr<exchange> take(exchange& which) {
        which.limit.cancel();
        for (std::size_t i = 0;; ++i) {
            if (running_[i].get() == &which) {
                auto taken = std::move(running_[i]);
                running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
                return taken;
            }
        }
    }

    void fail(exchange& which, const std::string& what) {
        auto failed = take(which);
        auto why = "worker " + std::to_string(failed->fresh->id()) + " " + what;
        auto said = failed->fresh->boot_tail();
        failed->fresh->end_because(exit_reason::boot_failed);
        failed->done(outcome::failed, said.empty() ? why : why + "\n" + said);
    }

    event_loop& loop_;
    std::vector<std::unique_ptr<exchange>> running_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_REPLACEMENTS_HPP
