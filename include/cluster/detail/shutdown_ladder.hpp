// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SHUTDOWN_LADDER_HPP
#define CLUSTER_DETAIL_SHUTDOWN_LADDER_HPP

#include "../event_loop.hpp"
#include "../shutdown_options.hpp"

#include <csignal>
#include <cstddef>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The steps by which a cluster ends: the workers drain until the deadline, then SIGTERM, then
/// SIGKILL. Each further call of begin() takes the next step at once.
template <typename Primary>
class shutdown_ladder {
public:
    shutdown_ladder(event_loop& loop, Primary& primary) noexcept : loop_{loop}, primary_{primary} {}
    ~shutdown_ladder() { timer_.cancel(); }
    shutdown_ladder(shutdown_ladder&&) = delete;
    shutdown_ladder& operator=(shutdown_ladder&&) = delete;

    [[nodiscard]] bool has_begun() const noexcept { return step_ != step::none; }

    /// \returns whether this was the first call.
    bool begin(const shutdown_options& options) {
        if (has_begun()) {
            climb();
            return false;
        }
        step_ = step::draining;
        options_ = options;
        timer_ = loop_.after(options.deadline, [this] { climb(); });
        return true;
    }

    /// Every worker is gone. \returns whether all of them ended without being forced.
    [[nodiscard]] bool end() noexcept {
        timer_.cancel();
        return !forced_;
    }

private:
    enum class step { none, draining, terminating, killing };

    void climb() {
        bool terminate = step_ == step::draining;
        step_ = terminate ? step::terminating : step::killing;
        const auto& workers = primary_.workers();
        for (std::size_t i = workers.size(); i-- != 0;) { // the last one started goes first
            forced_ = true;
            workers[i]->kill(terminate ? SIGTERM : SIGKILL);
        }
        timer_.cancel();
        if (terminate) {
            timer_ = loop_.after(options_.kill_after, [this] { climb(); });
        }
    }

    event_loop& loop_;
    Primary& primary_;
    shutdown_options options_;
    step step_ = step::none;
    timer timer_;
    bool forced_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SHUTDOWN_LADDER_HPP
