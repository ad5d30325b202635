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
/// | `S::accepts_in`    | `accept_site`  | a constant: who accepts                                |
/// | `s.pick(c, i)`     | index into `c` | for `accept_site::primary`: once for every connection, |
/// |                    |                | in the primary's thread; must not block                |
/// | `S::needs_address` | `bool`         | optional; false: `i.remote` may stay empty             |
///
/// `c` has `size()`, never zero, and `operator[]`, which gives a `const candidate&`. An index
/// beyond the end counts modulo the size. The policy is default constructible, owned by one cluster
/// and never called from two threads at once. Smallest model: `tests/archetypes/scheduling.hpp`.
/// Models shipped: `round_robin`, `shared_socket`, `reuse_port`.

#include "../net/address.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace cluster {
inline namespace v0 {

/// Who accepts the connections of a listening address.
enum class accept_site {
    primary,       ///< the primary, which passes each one to the worker that pick() names
    shared_socket, ///< the workers, all from one socket
    own_socket, ///< the workers, each from a socket of its own (SO_REUSEPORT), kept by the primary
};

/// A connection that waits for a worker.
struct connection_info {
    address remote; ///< of the client; none for UNIX sockets
    address local;  ///< of the listening socket
};

/// A worker that can take a connection now.
class candidate {
public:
    [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
    /// The worker's place, which its replacement inherits: 0, 1, 2, …
    [[nodiscard]] std::uint32_t slot() const noexcept { return slot_; }
    /// Connections handed to it that it has not taken yet.
    [[nodiscard]] std::size_t in_flight() const noexcept { return in_flight_; }

protected:
    std::uint32_t id_ = 0;
    std::uint32_t slot_ = 0;
    std::size_t in_flight_ = 0;
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

namespace detail {

template <typename S>
concept says_where_it_accepts = requires {
    { S::accepts_in } -> std::convertible_to<accept_site>;
};

template <typename S>
concept has_pick = requires(S& s, const candidates& c, const connection_info& i) { s.pick(c, i); };

template <typename S>
concept pick_returns_index = requires(S& s, const candidates& c, const connection_info& i) {
    { s.pick(c, i) } -> std::convertible_to<std::size_t>;
};

template <typename S>
concept picks_if_needed = [] {
    if constexpr (says_where_it_accepts<S>) {
        return S::accepts_in != accept_site::primary || pick_returns_index<S>;
    } else {
        return false;
    }
}();

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
    static_assert(!says_where_it_accepts<S> || picks_if_needed<S>,
                  "Scheduling that accepts in the primary needs a member template `std::size_t "
                  "pick(const Candidates& ready, const cluster::connection_info& from)`.");
    using type = std::conditional_t<scheduling_policy<S>, S, any_scheduling>;
};

template <typename S>
constexpr bool needs_address() {
    if constexpr (requires { S::needs_address; }) {
        return S::needs_address;
    } else {
        return S::accepts_in == accept_site::primary;
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_CONCEPT_HPP
