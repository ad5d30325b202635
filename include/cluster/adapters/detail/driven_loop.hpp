// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_DRIVEN_LOOP_HPP
#define CLUSTER_ADAPTERS_DETAIL_DRIVEN_LOOP_HPP

#include "../../detail/os.hpp"
#include "../../event_loop.hpp"
#include "../../unique_fd.hpp"

#include <exception>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

inline event_loop& loop_of(event_loop& loop) noexcept {
    return loop;
}
template <typename Role>
event_loop& loop_of(Role& role) noexcept {
    return role.loop();
}

/// A role's loop that another library's loop turns. That library's driver derives from this and
/// watches `descriptor()`, also while the role has nothing to wait for, since timers that keep
/// nothing alive and calls from other threads may still come; on_liveness() says whether that counts
/// as something to wait for. It calls start() when it can be told, and stop() at its end.
class driven_loop : public cluster::detail::loop_driver {
public:
    driven_loop(driven_loop&&) = delete;
    driven_loop& operator=(driven_loop&&) = delete;

protected:
    /// \throws std::system_error when the system is out of descriptors
    explicit driven_loop(event_loop& loop) : loop_{loop} {
        // A descriptor of our own: what the other loop does to it does not meet a second driver.
        descriptor_ = unique_fd{cluster::detail::os::duplicate(loop.native_handle())};
        if (!descriptor_) {
            throw std::system_error(cluster::detail::os::last_error(), "loop driver");
        }
    }
    ~driven_loop() = default;

    void start() { loop_.set_driver(this); }
    void stop() noexcept { loop_.set_driver(nullptr); }

    [[nodiscard]] int descriptor() const noexcept { return descriptor_.get(); }
    /// For a library that closes what it watches.
    [[nodiscard]] int release() noexcept { return descriptor_.release(); }

    /// Runs what is ready. What a handler throws leaves from here.
    /// \returns whether a stop() is what is left: the other loop shall end, and the role's run()
    /// then returns the code at once.
    bool turn() {
        event_loop& loop = loop_; // a handler may be the end of the driver, not of its role
        if (loop.poll() || !loop.was_stopped()) {
            return false;
        }
        loop.stop(loop.exit_code());
        return true;
    }

    /// The same for a loop through which nothing may be thrown: what a handler throws ends the other
    /// loop, too, and leaves from the role's run(), or the next turn.
    bool turn_without_throwing() noexcept {
        event_loop& loop = loop_;
        try {
            return turn();
        } catch (...) {
            loop.defer([thrown = std::current_exception()] { std::rethrow_exception(thrown); });
            return true;
        }
    }

private:
    event_loop& loop_;
    unique_fd descriptor_;
};

} // namespace detail
} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_DRIVEN_LOOP_HPP
