// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_EXIT_INFO_HPP
#define CLUSTER_DETAIL_OS_EXIT_INFO_HPP

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// How a child process ended, as the system tells it.
struct exit_info {
    enum class kind { exited, signaled, unknown };

    kind how =
        kind::unknown; ///< `unknown`: someone else collected the status and the kernel kept none
    int value = 0;     ///< the exit code or the number of the signal
    bool core_dumped = false;

    friend bool operator==(const exit_info&, const exit_info&) = default;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_EXIT_INFO_HPP
