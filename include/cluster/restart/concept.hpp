// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESTART_CONCEPT_HPP
#define CLUSTER_RESTART_CONCEPT_HPP

/// \file
/// The restart policy: what follows the death of a worker.
///
/// `R` is the policy, `r` an lvalue of `R`, `e` an `exit_report`.
///
/// | expression    | type               | called                      | must not |
/// |---------------|--------------------|-----------------------------|----------|
/// | `r.decide(e)` | `restart_decision` | once for every death that   | block    |
/// |               |                    | nobody asked for            |          |
///
/// Not asked for a worker that was told to disconnect, nor while the cluster shuts down. The policy
/// is default constructible, owned by one cluster and never called from two threads at once.
/// Smallest model: `tests/archetypes/restart.hpp`. Models shipped: `never`, `always`.

#include "../exit_status.hpp"

#include <chrono>
#include <concepts>
#include <cstdint>

namespace cluster {
inline namespace v0 {

/// What a restart policy is told about a death.
struct exit_report {
    exit_status status;
    std::uint32_t worker_id = 0;
    /// How long the worker lived.
    std::chrono::milliseconds uptime{0};
    /// It had come as far as its role before it died.
    bool was_online = false;
    /// How many replacements its place has had in a row.
    unsigned restarts = 0;
};

/// The answer of a restart policy.
struct restart_decision {
    enum class action { leave_dead, restart, give_up };

    action what = action::leave_dead;
    /// How long to wait before the replacement starts.
    std::chrono::milliseconds delay{0};

    friend bool operator==(const restart_decision&, const restart_decision&) = default;
};

inline constexpr restart_decision leave_dead{restart_decision::action::leave_dead, {}};
inline constexpr restart_decision restart_now{restart_decision::action::restart, {}};
/// As leave_dead, with event::give_up.
inline constexpr restart_decision give_up{restart_decision::action::give_up, {}};

/// A replacement after a pause.
constexpr restart_decision restart_after(std::chrono::milliseconds delay) noexcept {
    return {restart_decision::action::restart, delay};
}

namespace detail {

template <typename R>
concept has_decide = requires(R& r, const exit_report& e) { r.decide(e); };

template <typename R>
concept decide_returns_decision = requires(R& r, const exit_report& e) {
    { r.decide(e) } -> std::same_as<restart_decision>;
};

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file.
template <typename R>
concept restart_strategy =
    std::default_initializable<R> && detail::has_decide<R> && detail::decide_returns_decision<R>;

namespace detail {

struct any_restart {
    restart_decision decide(const exit_report&) { return leave_dead; }
};

template <typename R>
struct checked_restart {
    static_assert(std::default_initializable<R>, "Restart must be default constructible.");
    static_assert(has_decide<R>,
                  "Restart needs a member `cluster::restart_decision decide(const "
                  "cluster::exit_report&)`.");
    static_assert(!has_decide<R> || decide_returns_decision<R>,
                  "Restart: decide() must return cluster::restart_decision.");
    using type = std::conditional_t<restart_strategy<R>, R, any_restart>;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_CONCEPT_HPP
