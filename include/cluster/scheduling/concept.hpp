// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_CONCEPT_HPP
#define CLUSTER_SCHEDULING_CONCEPT_HPP

/// \file
/// The scheduling policy: which worker gets a connection, and who accepts it.
///
/// `S` is the policy, `s` an lvalue of `S`, `c` the workers that can take a connection now, `i` a
/// `connection_info`.
///
/// | expression         | type           | meaning                                                |
/// |--------------------|----------------|--------------------------------------------------------|
/// | `S::accepts_in`    | `accept_site`  | a constant, or a const member function: who accepts    |
/// | `s.pick(c, i)`     | `choice`, or   | for `accept_site::primary`: once for every connection, |
/// |                    | index into `c` | in the primary's thread; must not block                |
/// | `S::needs_address` | `bool`         | optional; false: `i.remote` may stay empty             |
/// | `S::steering`      | `kernel_       | optional, for `accept_site::own_socket`: how the       |
/// |                    | steering`      | kernel chooses; where it cannot, the primary accepts   |
/// |                    |                | and asks pick()                                        |
/// | `S::waits_for_one` | `bool`         | optional; true: a worker that is behind stays in `c`,  |
/// |                    |                | and what is picked for it waits                        |
/// | `S::peeks`         | `std::size_t`  | optional, `most_peeked` at most: how many of the first |
/// |                    |                | bytes `i.first_bytes` may show                         |
/// | `S::name`          | `string_view`  | optional: what from_environment calls it               |
///
/// Each of the optional ones but the name may also be a const member function, as `accepts_in`.
///
/// A policy that peeks and needs more bytes than there are returns `refusal::more_bytes` while
/// `i.more_may_come`. The connection then waits, in nobody's way, for a second at most; 1,024 may
/// wait. Nothing is consumed: the worker reads all of it.
///
/// `c` has `size()`, never zero, and `operator[]`, which gives a `const candidate&`. No stalled,
/// draining or not ready worker is ever in it. An index beyond the end counts modulo the size. The
/// policy is default constructible, owned by one cluster and never called from two threads at once.
/// Smallest model: `tests/archetypes/scheduling.hpp`.

#include "../detail/chrono.hpp"
#include "../net/address.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace cluster {
inline namespace v0 {

/// Who accepts the connections of a listening address.
enum class accept_site {
    primary,       ///< the primary, which passes each one to the worker that pick() names
    shared_socket, ///< the workers, all from one socket
    own_socket, ///< the workers, each from a socket of its own (SO_REUSEPORT), kept by the primary
};

/// By what the kernel shall choose among the sockets of `accept_site::own_socket`.
enum class kernel_steering {
    none,           ///< its own hash of both addresses and ports
    round_robin,    ///< in turn, exactly
    least_loaded,   ///< the fewest connections, ties in turn
    client_address, ///< the client's address alone: the same worker each time
};

/// A connection that waits for a worker.
struct connection_info {
    address remote; ///< of the client; none for UNIX sockets
    address local;  ///< of the listening socket
    /// What the client has sent so far, for policies that peek; good during pick().
    std::span<const std::byte> first_bytes{};
    /// Whether refusal::more_bytes will be heard.
    bool more_may_come = false;
};

/// The largest `peeks` of a scheduling policy, in bytes.
inline constexpr std::size_t most_peeked = 16 * 1024;

/// A worker that can take a connection now, with what is known of its load.
class candidate {
public:
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
    /// The worker's place, which its replacement inherits: 0, 1, 2, …
    [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }
    /// 1, 2, …: which reload has started it.
    [[nodiscard]] virtual std::uint32_t generation() const noexcept { return 1; }
    /// fork_options::weight.
    [[nodiscard]] std::uint32_t weight() const noexcept { return weight_; }
    /// Connections handed to it that it has not taken yet.
    [[nodiscard]] virtual std::size_t in_flight() const noexcept { return 0; }
    /// Connections that it has: in flight, or open in one of its servers. Exact for those that the
    /// primary has handed over.
    [[nodiscard]] virtual std::size_t connections() const noexcept { return in_flight(); }
    /// How late its loop was when it answered last; grows with what keeps it busy.
    [[nodiscard]] virtual std::chrono::microseconds lag() const noexcept { return {}; }

protected:
    ~candidate() = default;

    std::uint32_t id_ = 0;
    std::uint32_t slot_ = 0;
    std::uint32_t weight_ = 1;
};

/// The workers that can take a connection now: a view, good during pick().
class candidates {
public:
    explicit candidates(std::span<const candidate* const> all) noexcept : all_{all} {}
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] const candidate& operator[](std::size_t index) const noexcept {
        return *all_[index];
    }

private:
    std::span<const candidate* const> all_;
};

/// What pick() may say instead of an index.
enum class refusal {
    close, ///< nobody shall have it: the connection is closed
    hold,  ///< nobody now: it waits, and pick() is asked again when a worker's state changes, and
           ///< every 20 ms; connections behind it wait in the kernel's queue
    fallback,   ///< no opinion: the next worker in turn
    more_bytes, ///< not before the client has sent more; else as fallback
};

/// What pick() returns: an index into the candidates, or a refusal.
class choice {
public:
    constexpr choice(std::size_t index) noexcept : index_{index} {}
    constexpr choice(refusal why) noexcept : refused_{true}, why_{why} {}

    /// Whether it is a refusal, and no index.
    [[nodiscard]] constexpr bool refused() const noexcept { return refused_; }
    /// \pre !refused()
    [[nodiscard]] constexpr std::size_t index() const noexcept { return index_; }
    /// \pre refused()
    [[nodiscard]] constexpr refusal why() const noexcept { return why_; }

private:
    std::size_t index_ = 0;
    bool refused_ = false;
    refusal why_ = refusal::fallback;
};

namespace detail {

template <typename S>
concept has_constant_site = requires {
    { S::accepts_in } -> std::convertible_to<accept_site>;
};
template <typename S>
concept has_chosen_site = requires(const S& s) {
    { s.accepts_in() } -> std::same_as<accept_site>;
};
template <typename S>
concept says_where_it_accepts = has_constant_site<S> || has_chosen_site<S>;

template <typename S>
concept has_pick = requires(S& s, const candidates& c, const connection_info& i) { s.pick(c, i); };

template <typename S>
concept pick_returns_choice = requires(S& s, const candidates& c, const connection_info& i) {
    { s.pick(c, i) } -> std::convertible_to<choice>;
};

template <typename S>
concept picks_if_needed = [] {
    if constexpr (has_constant_site<S>) {
        return S::accepts_in != accept_site::primary || pick_returns_choice<S>;
    } else {
        return has_chosen_site<S> && pick_returns_choice<S>;
    }
}();

template <typename S>
constexpr bool peeks_sensibly() {
    if constexpr (requires {
                      { S::peeks } -> std::convertible_to<std::size_t>;
                  }) {
        return S::peeks <= most_peeked;
    } else if constexpr (requires(const S& s) { s.peeks(); }) {
        return requires(const S& s) {
            { s.peeks() } -> std::same_as<std::size_t>;
        };
    } else {
        return !requires { S::peeks; };
    }
}

template <typename S>
concept has_policy_name = requires {
    { S::name } -> std::convertible_to<std::string_view>;
};

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file.
template <typename S>
concept scheduling_policy = std::default_initializable<S> && detail::picks_if_needed<S>;

namespace detail {

struct any_scheduling {
    static constexpr auto accepts_in = accept_site::shared_socket;
};

template <typename S>
struct checked_scheduling {
    static_assert(std::default_initializable<S>, "Scheduling must be default constructible.");
    static_assert(says_where_it_accepts<S>,
                  "Scheduling needs `static constexpr auto accepts_in = "
                  "cluster::accept_site::primary;` (or shared_socket, own_socket).");
    static_assert(peeks_sensibly<S>(),
                  "Scheduling: `peeks` must be a std::size_t of cluster::most_peeked at most.");
    static_assert(!says_where_it_accepts<S> || picks_if_needed<S>,
                  "Scheduling that accepts in the primary needs a member template `std::size_t "
                  "pick(const Candidates& ready, const cluster::connection_info& from)`, or one "
                  "that returns a cluster::choice.");
    using type = std::conditional_t<scheduling_policy<S>, S, any_scheduling>;
};

template <typename S>
[[nodiscard]] accept_site site_of(const S& policy) {
    if constexpr (has_constant_site<S>) {
        return S::accepts_in;
    } else {
        return policy.accepts_in();
    }
}

template <typename S>
[[nodiscard]] constexpr bool needs_address(const S& policy) {
    if constexpr (requires { policy.needs_address(); }) {
        return policy.needs_address();
    } else if constexpr (requires { S::needs_address; }) {
        return S::needs_address;
    } else {
        return has_pick<S>;
    }
}

template <typename S>
[[nodiscard]] constexpr kernel_steering steering_of(const S& policy) {
    if constexpr (requires { policy.steering(); }) {
        return policy.steering();
    } else if constexpr (requires { S::steering; }) {
        return S::steering;
    } else {
        return kernel_steering::none;
    }
}

template <typename S>
[[nodiscard]] constexpr bool waits_for_one(const S& policy) {
    if constexpr (requires { policy.waits_for_one(); }) {
        return policy.waits_for_one();
    } else if constexpr (requires { S::waits_for_one; }) {
        return S::waits_for_one;
    } else {
        return false;
    }
}

template <typename S>
[[nodiscard]] constexpr std::size_t constant_peeks() {
    if constexpr (requires { S::peeks; }) {
        return S::peeks;
    } else {
        return 0;
    }
}
template <typename S>
[[nodiscard]] constexpr std::size_t peeks(const S& policy) {
    if constexpr (requires { policy.peeks(); }) {
        return policy.peeks();
    } else {
        return constant_peeks<S>();
    }
}

/// What from_environment calls it; `otherwise` for a policy without a name.
template <typename S>
[[nodiscard]] constexpr std::string_view policy_name(std::string_view otherwise = {}) {
    if constexpr (has_policy_name<S>) {
        return S::name;
    } else {
        return otherwise;
    }
}

/// By the policy; in turn where it leaves that to the kernel and we have to choose all the same.
template <typename S>
choice pick_by(S& policy, const candidates& ready, const connection_info& from) {
    if constexpr (has_pick<S>) {
        auto picked = policy.pick(ready, from);
        if constexpr (std::is_integral_v<decltype(picked)>) {
            return static_cast<std::size_t>(picked);
        } else {
            return picked;
        }
    } else {
        return refusal::fallback;
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_CONCEPT_HPP
