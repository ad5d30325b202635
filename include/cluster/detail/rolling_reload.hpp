// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ROLLING_RELOAD_HPP
#define CLUSTER_DETAIL_ROLLING_RELOAD_HPP

#include "../event_loop.hpp"
#include "../reload.hpp"
#include "algorithm.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "replacements.hpp"
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

/// Replaces every worker by one of a new generation, a few at a time; stops at the first that does
/// not come up. What is asked for meanwhile is one more reload behind this one.
///
/// `Primary` has workers(), has_room_for_generation(options), new_generation(error), replace(old, generation, options, done),
/// is_being_replaced(worker), cancel(generation), expects_workers(), commit(generation),
/// reload_began() and reloaded(report, callbacks, then).
template <typename Primary>
class rolling_reload {
public:
    using callback = move_only_function<void(const reload_report&)>;

    explicit rolling_reload(Primary& primary) noexcept : primary_{primary} {}
    rolling_reload(rolling_reload&&) = delete;
    rolling_reload& operator=(rolling_reload&&) = delete;

    void ask(const reload_options& options, callback done) {
        auto& where = running_ ? following_ : waiting_;
        where.options = options;
        where.wanted = true;
        if (done) {
            where.callbacks.push_back(std::move(done));
        }
        if (!running_) {
            begin();
        }
    }

    [[nodiscard]] bool is_running() const noexcept { return running_; }
    /// Whether it is this one that the workers are being replaced with.
    [[nodiscard]] bool aims_at(const program_generation& generation) const noexcept {
        return running_ && target_ && target_->number == generation.number;
    }

    /// The one that runs, and the one behind it, end without success.
    void abandon(const std::string& why) {
        if (!running_ && !waiting_.wanted) {
            return;
        }
        if (!running_) { // it would begin in the next turn
            target_ = nullptr;
            replaced_ = 0;
        }
        following_.wanted = false;
        for (auto& each : following_.callbacks) {
            waiting_.callbacks.push_back(std::move(each));
        }
        following_.callbacks.clear();
        finish(why);
    }

    /// Workers have come or gone: perhaps there is more to replace, or nothing any more.
    void go_on() {
        if (!running_) {
            return;
        }
        if (!target_) {
            open_program();
            return;
        }
        const auto& options = waiting_.options;
        unsigned at_a_time = detail::max(1U, options.max_surge + options.max_unavailable);
        while (active_ < at_a_time) {
            worker_core* next = next_old();
            if (next == nullptr) {
                break;
            }
            ++active_;
            bool drain_first = unavailable_ < options.max_unavailable;
            unavailable_ += drain_first ? 1 : 0;
            primary_.replace(*next,
                             target_,
                             options,
                             drain_first,
                             [this, drain_first, run = run_](replacements::outcome how,
                                                             const std::string& failure) {
                                 if (run == run_ && running_) {
                                     one_ended(drain_first, how, failure);
                                 }
                             });
            if (!running_) {
                return;
            }
        }
        if (active_ == 0) {
            if (replaced_ == 0 && primary_.expects_workers()) {
                return; // nobody has proved the new program yet: one that comes back will
            }
            if (replaced_ == 0 && !nothing_to_do_) {
                finish("no worker was left to replace"); // and so the program is not proved
                return;
            }
            primary_.commit(target_);
            finish({});
        }
    }

private:
    struct request {
        reload_options options;
        std::vector<callback> callbacks;
        bool wanted = false;
    };

    void begin() {
        running_ = true;
        ++run_;
        active_ = unavailable_ = 0;
        replaced_ = 0;
        target_ = nullptr;
        nothing_to_do_ = !primary_.expects_workers();
        primary_.reload_began();
        open_program();
    }

    void open_program() {
        if (!primary_.has_room_for_generation(waiting_.options)) {
            return; // go_on() comes back when a worker has gone
        }
        std::string error;
        target_ = primary_.new_generation(error);
        if (!error.empty()) {
            finish(error);
            return;
        }
        go_on();
    }

    void one_ended(bool drained_first, replacements::outcome how, const std::string& failure) {
        --active_;
        unavailable_ -= drained_first ? 1 : 0;
        if (how == replacements::outcome::failed) {
            finish(failure);
            return;
        }
        replaced_ += how == replacements::outcome::replaced ? 1 : 0;
        go_on();
    }

    [[nodiscard]] worker_core* next_old() const {
        worker_core* next = nullptr;
        for (const auto& each : primary_.workers()) {
            bool wanted = each->generation() != target_->number && each->is_connected() &&
                          !primary_.is_being_replaced(*each);
            if (wanted && (next == nullptr || each->slot() < next->slot())) {
                next = each.get();
            }
        }
        return next;
    }

    void finish(const std::string& why) {
        running_ = false;
        if (!why.empty() && target_) {
            primary_.cancel(*target_); // those that boot beside the one that failed
        }
        auto done = std::exchange(waiting_, {});
        reload_report report{target_ ? target_->number : 0, replaced_, why};
        if (following_.wanted) {
            waiting_ = std::exchange(following_, {});
        }
        primary_.reloaded(report, std::move(done.callbacks), [this] {
            if (waiting_.wanted && !running_) {
                begin();
            }
        });
    }

    Primary& primary_;
    request waiting_; // the one that runs, if one does
    request following_;
    std::shared_ptr<const program_generation> target_;
    bool running_ = false;
    bool nothing_to_do_ = false; // there was nobody at the beginning
    std::uint64_t run_ = 0;
    unsigned active_ = 0;
    unsigned unavailable_ = 0;
    std::size_t replaced_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ROLLING_RELOAD_HPP
