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
/// Smallest model: `tests/archetypes/restart.hpp`. Models shipped: `never`, `always`, `on_failure`,
/// and around another one: `backoff` (when), `limit` (how often), `one_for_one`, `one_for_all`,
/// `rest_for_one` (who).

#include "../detail/chrono.hpp"
#include "../exit_status.hpp"

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

namespace cluster {
inline namespace v0 {

/// What a restart policy is told about a death.
struct exit_report {
    /// Unknown for one that has lost its channel: the policy is asked before it has ended.
    exit_status status;
    /// worker::id().
    std::uint32_t worker_id = 0;
    /// How long the worker lived.
    std::chrono::milliseconds uptime{0};
    /// It had come as far as its role before it died.
    bool was_online = false;
    /// How many replacements its place has had in a row.
    unsigned restarts = 0;
    /// When it died.
    std::chrono::steady_clock::time_point when{};
    /// Its place, which its replacement inherits: 0, 1, 2, …
    std::uint32_t slot = 0;
    /// It had said that it can do its work (self.ready(), or listen()).
    bool was_ready = false;
    /// Which of the cluster's reloads had started it.
    std::uint32_t generation = 0;
    /// The system ended it because memory had run out, as far as the system tells.
    bool out_of_memory = false;
    /// What a worker that no longer answered was doing before it was killed: its state, what it
    /// waited for, its kernel stack, as far as the system permits. For people.
    std::string diagnosis{};
};

/// The answer of a restart policy.
struct restart_decision {
    /// What becomes of the place.
    enum class action { leave_dead, restart, give_up };
    /// Who is replaced: the dead one alone, or with it everyone else, or those of the places behind
    /// its own.
    enum class scope { this_one, all, later_ones };

    /// What becomes of the dead one.
    action what = action::leave_dead;
    /// How long to wait before the replacement starts.
    std::chrono::milliseconds delay{0};
    /// For a restart: the others of the scope are ended at once, and all come back after the delay.
    scope affects = scope::this_one;

    friend bool operator==(const restart_decision&, const restart_decision&) = default;
};

/// Nobody takes the place.
inline constexpr restart_decision leave_dead{};
/// A replacement at once.
inline constexpr restart_decision restart_now{.what = restart_decision::action::restart};
/// As leave_dead, with event::give_up.
inline constexpr restart_decision give_up{.what = restart_decision::action::give_up};

/// A replacement after a pause.
constexpr restart_decision restart_after(std::chrono::milliseconds delay) noexcept {
    return {.what = restart_decision::action::restart, .delay = delay};
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

// What is wrong is asserted in a function: a class with an assertion that failed is no use to Clang,
// which would add that it meets no concept, or all of them.
template <typename R>
constexpr bool check_restart() {
    static_assert(sizeof(R) != 0); // what is wrong inside it is told before the concepts look
    static_assert(std::default_initializable<R>, "Restart must be default constructible.");
    static_assert(has_decide<R>,
                  "Restart needs a member `cluster::restart_decision decide(const "
                  "cluster::exit_report&)`.");
    static_assert(!has_decide<R> || decide_returns_decision<R>,
                  "Restart: decide() must return cluster::restart_decision.");
    return true;
}

template <typename R>
struct checked_restart {
    static_assert(check_restart<R>());
    using type = std::conditional_t<restart_strategy<R>, R, any_restart>;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESTART_CONCEPT_HPP
