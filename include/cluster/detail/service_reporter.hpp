// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SERVICE_REPORTER_HPP
#define CLUSTER_DETAIL_SERVICE_REPORTER_HPP

#include "../error.hpp"
#include "../event_loop.hpp"
#include "../service_notifier.hpp"
#include "algorithm.hpp"
#include "chrono.hpp"
#include "os.hpp"
#include "turn_hook.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How many workers a primary has.
struct worker_census {
    std::size_t ready = 0;   // places in which somebody can work
    std::size_t places = 0;  // that are filled, or will be
    std::size_t alive = 0;   // those that leave, too
    std::size_t stalled = 0; // do not answer just now, ready or not
};

/// Tells a service manager how its primary does. What it has no room for, and what nobody was there
/// to hear, is told later, the states in their order and of the status only the last.
///
/// `Primary` has census().
template <typename Primary>
class service_reporter {
public:
    service_reporter(event_loop& loop, Primary& primary) noexcept : loop_{loop}, primary_{primary} {
        room_.keep_alive(false);
    }
    ~service_reporter() { beat_.cancel(); }
    service_reporter(service_reporter&&) = delete;
    service_reporter& operator=(service_reporter&&) = delete;

    /// From now on to this one; one that talks to nobody changes nothing.
    service_notifier& start(service_notifier manager) {
        if (manager) {
            room_.stop();
            beat_.cancel();
            manager_ = std::move(manager);
            start_beating();
            workers_changed();
        }
        return manager_;
    }

    /// They are counted at the end of this turn.
    void workers_changed() noexcept {
        if (manager_) {
            loop_.at_turn_end(hook_);
        }
    }
    void reload_began() {
        if (phase_ == phase::serving) { // before, there is nothing that could be reloaded
            phase_ = phase::reloading;
            tell_state("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_time()));
        }
    }
    /// `failure`: why, or empty.
    void reload_ended(std::string_view failure) {
        if (phase_ == phase::reloading) {
            phase_ = phase::serving;
            failure_ = failure.substr(0, detail::min(failure.find('\n'), most_text));
            tell_state("READY=1");
        }
    }
    void stopping() {
        if (manager_ && phase_ != phase::stopping) {
            phase_ = phase::stopping;
            tell_state("STOPPING=1");
        }
    }

private:
    enum class phase { starting, serving, reloading, stopping };

    static constexpr std::size_t most_text = 500;
    static constexpr std::size_t most_waiting = 16;

    // As RELOADING=1 wants it: of CLOCK_MONOTONIC, which is what a steady_clock is here.
    static std::chrono::microseconds::rep monotonic_time() {
        auto now = std::chrono::steady_clock::now().time_since_epoch();
        return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
    }

    void start_beating() {
        auto timeout = std::chrono::nanoseconds{manager_.watchdog_timeout()};
        if (timeout.count() > 0) {
            constexpr std::chrono::nanoseconds shortest = std::chrono::milliseconds{1};
            beat_ = loop_.every(detail::max(timeout / 2, shortest), [this] { tell("WATCHDOG=1"); });
            beat_.unref();
        }
    }

    void count() {
        auto now = primary_.census();
        if (phase_ == phase::starting && now.places != 0 && now.ready == now.places) {
            phase_ = phase::serving;
            tell_state("READY=1");
        } else if (auto text = status(now); text != told_) {
            told_ = text;
            tell("STATUS=" + text);
        }
    }

    // In words; systemctl status shows it.
    [[nodiscard]] std::string status(const worker_census& now) const {
        if (phase_ == phase::stopping) {
            return "stopping, workers left: " + std::to_string(now.alive);
        }
        auto text = std::to_string(now.ready) + " of " + std::to_string(now.places) +
                    " workers ready" +
                    (now.stalled != 0 ? ", " + std::to_string(now.stalled) + " stalled" : "") +
                    (phase_ == phase::reloading ? ", reloading" : "");
        return failure_.empty() ? text : text + "; not reloaded: " + failure_;
    }

    void tell_state(std::string state) {
        told_ = status(primary_.census());
        tell(std::move(state) + "\nSTATUS=" + told_);
    }

    void tell(std::string text) {
        for (std::string_view kind : {"STATUS=", "WATCHDOG="}) { // the last of them says it all
            if (text.starts_with(kind)) {
                detail::erase_if(waiting_,
                                 [kind](const auto& each) { return each.starts_with(kind); });
            }
        }
        if (waiting_.size() == most_waiting) {
            waiting_.erase(waiting_.begin());
        }
        waiting_.push_back(std::move(text));
        flush();
    }

    void flush() {
        while (!waiting_.empty()) {
            if (auto error = manager_.notify(waiting_.front())) {
                if (error == errc::would_block && !room_.active()) {
                    room_.start<&service_reporter::on_room>(
                        loop_, manager_.native_handle(), os::io::writable, *this);
                } else if (error != errc::would_block) {
                    room_.stop(); // nobody is there: with the next that there is to tell
                }
                return;
            }
            waiting_.erase(waiting_.begin());
        }
        room_.stop();
    }
    void on_room(os::io) { flush(); }

    event_loop& loop_;
    Primary& primary_;
    service_notifier manager_;
    io_watch room_; // for what waits
    timer beat_;
    turn_hook hook_ = turn_hook::for_member<service_reporter, &service_reporter::count>(*this);
    std::vector<std::string> waiting_;
    std::string told_;    // the last status
    std::string failure_; // of the last reload
    phase phase_ = phase::starting;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SERVICE_REPORTER_HPP
