// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_BASIC_POOL_HPP
#define CLUSTER_POOL_BASIC_POOL_HPP

#include "../fwd.hpp"

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename>
inline constexpr bool never = false;

} // namespace detail

/// Workers that run tasks, and a queue before them: `process_pool` and `thread_pool`.
///
/// \tparam Backend what a worker is: `backend::process` or `backend::thread`.
/// \tparam Serializer how arguments and results of processes become bytes
///         (serialization/concept.hpp).
///
/// |                               | process_pool                  | thread_pool                    |
/// |-------------------------------|-------------------------------|--------------------------------|
/// | `submit<function>(arguments)` | yes                           | yes                            |
/// | `submit(callable, arguments)` | a compile-time sentence       | yes                            |
/// | arguments and results         | what the serializer takes     | anything that moves            |
/// | an exception                  | `task_failed`: type and text  | itself                         |
/// | a crash                       | `worker_crashed`, or a retry  | the end of the program         |
/// | timeout, cancellation         | the worker is killed          | the function's std::stop_token |
/// | limits, sandbox               | yes                           | no: `errc::not_supported`      |
/// | recycling                     | yes                           | there is nothing to recycle    |
template <typename Backend, typename Serializer>
class basic_pool {
    static_assert(detail::never<Backend>,
                  "basic_pool: workers are processes or threads; write cluster::process_pool or "
                  "cluster::thread_pool.");
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_BASIC_POOL_HPP
