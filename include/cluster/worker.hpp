// SPDX-License-Identifier: MIT
#ifndef CLUSTER_WORKER_HPP
#define CLUSTER_WORKER_HPP

#include "detail/memory.hpp"
#include "detail/primary_core.hpp"
#include "detail/worker_core.hpp"
#include "event.hpp"
#include "fwd.hpp"
#include "messaging.hpp"

#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The primary's handle on one worker: what fork() returns and what handlers get. The primary owns
/// it; a reference stays good after the worker's death until 256 more have died. Everything from
/// the primary's thread; nothing blocks, nothing throws because a worker is dead.
template <typename Cluster>
class basic_worker final
    : public detail::worker_core,
      public detail::message_endpoint<basic_worker<Cluster>,
                                      typename Cluster::serializer_type,
                                      detail::passes_objects<typename Cluster::backend_type>()> {
    using serializer = typename Cluster::serializer_type;
    static constexpr bool passes_objects = detail::passes_objects<typename Cluster::backend_type>();
    using endpoint = detail::message_endpoint<basic_worker, serializer, passes_objects>;

public:
    template <typename Reply>
    using responder = basic_responder<Reply, serializer>;

    /// Calls `handler` for what happens to this worker; see cluster/event.hpp for the events. Runs
    /// before the primary's handlers of the same event.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

    /// Sends SIGTERM to the process, by its pidfd: never to a stranger. Asks a thread to stop.
    /// \returns ESRCH when it has ended.
    std::error_code kill() noexcept { return detail::worker_core::kill(SIGTERM); }
    /// The same with any signal. `kill(0)` only asks.
    template <typename Backend = typename Cluster::backend_type>
    std::error_code kill(int signal) noexcept {
        static_assert(Backend::separate_memory,
                      "kill(signal): a thread gets no signals of its own; worker.kill() asks it to "
                      "stop, worker.disconnect() to finish.");
        return detail::worker_core::kill(signal);
    }

private:
    friend class basic_primary<Cluster>;
    friend class detail::message_endpoint<basic_worker, serializer, passes_objects>;
    using table = typename endpoint::message_handlers;

    basic_worker(detail::worker_owner& primary,
                 table& shared,
                 std::uint32_t id,
                 std::uint32_t slot,
                 detail::worker_plan plan)
        : detail::worker_core{primary, id, slot, std::move(plan)},
          endpoint{primary.loop_, this->channel_, &shared} {}
    ~basic_worker() = default;

    static detail::owned_worker make(detail::worker_owner& primary,
                                     table& shared,
                                     std::uint32_t id,
                                     std::uint32_t slot,
                                     detail::worker_plan plan) {
        auto destroy = [](detail::worker_core* one) { delete static_cast<basic_worker*>(one); };
        return {new basic_worker{primary, shared, id, slot, std::move(plan)}, destroy};
    }

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        auto call = [f = std::forward<F>(handler)](detail::worker_core& one,
                                                   const auto&... rest) mutable {
            detail::call_flexibly(f, static_cast<basic_worker&>(one), rest...);
        };
        return emitter_for(this->events(), which).add(std::move(call), once);
    }

    void on_user_frame(detail::frame& arrived) override { this->receive(arrived); }
    void on_unhandled(const unhandled_message_info& info) {
        this->emit(event::unhandled_message, info);
    }
    void on_undecodable(const std::error_code& error) { this->emit(event::error, error); }
    void on_departed() override { this->forget_unclaimed(); }
    void on_gone() override { this->end_messages(); }
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_WORKER_HPP
