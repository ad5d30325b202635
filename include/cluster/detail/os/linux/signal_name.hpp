// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_SIGNAL_NAME_HPP
#define CLUSTER_DETAIL_OS_LINUX_SIGNAL_NAME_HPP

#include <string_view>

#include <signal.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// \returns "SIGKILL" for SIGKILL; empty for a number without a name, as the real-time signals are.
[[nodiscard]] constexpr std::string_view signal_name(int number) noexcept {
    struct entry {
        int number;
        std::string_view name;
    };
    // The numbers differ between architectures, so this is a search and not an index.
    constexpr entry names[] = {
        {SIGABRT, "SIGABRT"},
        {SIGALRM, "SIGALRM"},
        {SIGBUS, "SIGBUS"},
        {SIGCHLD, "SIGCHLD"},
        {SIGCONT, "SIGCONT"},
        {SIGFPE, "SIGFPE"},
        {SIGHUP, "SIGHUP"},
        {SIGILL, "SIGILL"},
        {SIGINT, "SIGINT"},
        {SIGIO, "SIGIO"},
        {SIGKILL, "SIGKILL"},
        {SIGPIPE, "SIGPIPE"},
        {SIGPROF, "SIGPROF"},
        {SIGPWR, "SIGPWR"},
        {SIGQUIT, "SIGQUIT"},
        {SIGSEGV, "SIGSEGV"},
        {SIGSTOP, "SIGSTOP"},
        {SIGSYS, "SIGSYS"},
        {SIGTERM, "SIGTERM"},
        {SIGTRAP, "SIGTRAP"},
        {SIGTSTP, "SIGTSTP"},
        {SIGTTIN, "SIGTTIN"},
        {SIGTTOU, "SIGTTOU"},
        {SIGURG, "SIGURG"},
        {SIGUSR1, "SIGUSR1"},
        {SIGUSR2, "SIGUSR2"},
        {SIGXCPU, "SIGXCPU"},
        {SIGXFSZ, "SIGXFSZ"},
        {SIGVTALRM, "SIGVTALRM"},
        {SIGWINCH, "SIGWINCH"},
#if defined(SIGSTKFLT)
        {SIGSTKFLT, "SIGSTKFLT"},
#endif
    };
    for (const entry& each : names) {
        if (each.number == number) {
            return each.name;
        }
    }
    return {};
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_SIGNAL_NAME_HPP
