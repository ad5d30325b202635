// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_CONCEPT_HPP
#define CLUSTER_BACKEND_CONCEPT_HPP

/// \file
/// The backend policy: what a worker is.
///
/// `B` is the policy, `r` a `detail::launch_request`, `e` a `std::error_code`.
///
/// | expression           | type                      | meaning                              |
/// |----------------------|---------------------------|--------------------------------------|
/// | `B::separate_memory` | `bool`                    | a worker's crash leaves others alone |
/// | `B::launch(r, e)`    | `detail::launched_worker` | starts one worker; failures of the   |
/// |                      |                           | system go to `e`                     |
///
/// Models shipped: `process`.

#include "../detail/os.hpp"
#include "../fork_options.hpp"
#include "../unique_fd.hpp"

#include <concepts>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Everything that a backend needs to start a worker.
struct launch_request {
    const fork_options& options;               // merged with the settings
    const std::vector<std::string>& arguments; // of the primary, with the program's name
    int program;                               // descriptor of the running program, -1 unknown
    int channel;                               // the worker's end; borrowed
    unsigned cluster;                          // which cluster of the program the worker is for
};

/// A worker that has started, and the primary's ends of its piped descriptors by their number.
struct launched_worker {
    os::child_process child;
    std::vector<unique_fd> pipes;
};

template <typename B>
concept says_what_is_shared = requires {
    { B::separate_memory } -> std::convertible_to<bool>;
};

template <typename B>
concept can_launch = requires(const launch_request& r, std::error_code& e) {
    { B::launch(r, e) } -> std::same_as<launched_worker>;
};

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file.
template <typename B>
concept backend_policy = detail::says_what_is_shared<B> && detail::can_launch<B>;

namespace detail {

struct any_backend {
    static constexpr bool separate_memory = true;
    static launched_worker launch(const launch_request&, std::error_code&) { return {}; }
};

template <typename B>
struct checked_backend {
    static_assert(says_what_is_shared<B>,
                  "Backend needs `static constexpr bool separate_memory`; take "
                  "cluster::backend::process if you did not mean to write one.");
    static_assert(can_launch<B>,
                  "Backend needs a static member `launched_worker launch(const launch_request&, "
                  "std::error_code&)`.");
    using type = std::conditional_t<backend_policy<B>, B, any_backend>;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_CONCEPT_HPP
