// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TRANSPORT_CONCEPT_HPP
#define CLUSTER_TRANSPORT_CONCEPT_HPP

/// \file
/// The transport policy of the backends whose workers are processes: what carries the frames between
/// a primary and a worker, beside or instead of the socket that they have anyway.
///
/// `T` is the policy, `s` a `unique_fd` with one end of that socket, `m` an lvalue of
/// `detail::transport_memory`, `e` a `std::error_code`.
///
/// | expression        | type                               | meaning                              |
/// |-------------------|------------------------------------|--------------------------------------|
/// | `T::open(s, m)`   | `std::unique_ptr<detail::carrier>` | the primary's end; `m` gets what the |
/// |                   |                                    | worker shall map, or stays empty     |
/// | `T::join(s,m,e)`  | the same                           | the worker's end, when `m` was not   |
/// |                   |                                    | empty; null and `e` if it cannot     |
///
/// Models shipped: `socket`, `shared_memory`.

#include "../detail/memory.hpp"
#include "../ipc/carrier.hpp"
#include "../unique_fd.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Memory that goes to a worker with the first frame, and by what the two wake each other.
struct transport_memory {
    unique_fd descriptor;
    std::uint64_t ring = 0; // bytes of each of its two rings; 0: there is none
    unique_fd worker_hears{};
    unique_fd worker_rings{};
};

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file.
template <typename T>
concept transport_policy = requires(unique_fd s, detail::transport_memory& m, std::error_code& e) {
    { T::open(std::move(s), m) } -> std::same_as<std::unique_ptr<detail::carrier>>;
    { T::join(std::move(s), m, e) } -> std::same_as<std::unique_ptr<detail::carrier>>;
};

namespace detail {

/// A worker's way to the other end of what the primary has opened; null: by the socket.
using join_function = std::unique_ptr<carrier> (*)(unique_fd, transport_memory&, std::error_code&);

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_TRANSPORT_CONCEPT_HPP
