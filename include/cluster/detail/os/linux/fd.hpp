// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_FD_HPP
#define CLUSTER_DETAIL_OS_LINUX_FD_HPP

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// The error of the system call that has just failed in this thread.
inline std::error_code last_error() noexcept {
    return {errno, std::system_category()};
}

/// Calls `call` again for as long as a signal interrupts it.
template <typename Call>
auto retry(Call call) noexcept(noexcept(call())) {
    auto result = call();
    while (result == -1 && errno == EINTR) {
        result = call();
    }
    return result;
}

/// Closes; never retried: on Linux the descriptor is gone even when close() reports EINTR.
inline void close_descriptor(int fd) noexcept {
    int saved = errno;
    ::close(fd);
    errno = saved;
}

/// A descriptor that is good for nothing but to be closed when its place is needed; -1 when there is
/// none to be had.
inline int open_reserve() noexcept {
    return ::eventfd(0, EFD_CLOEXEC);
}

/// A second, close-on-exec descriptor for the same open file; -1 and errno on failure.
inline int duplicate(int fd) noexcept {
    return ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

inline bool set_nonblocking(int fd, bool on) noexcept {
    int flags = ::fcntl(fd, F_GETFL);
    if (flags == -1) {
        return false;
    }
    int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags || ::fcntl(fd, F_SETFL, wanted) == 0;
}

inline bool is_nonblocking(int fd) noexcept {
    int flags = ::fcntl(fd, F_GETFL);
    return flags != -1 && (flags & O_NONBLOCK) != 0;
}

inline bool set_close_on_exec(int fd) noexcept {
    return ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

inline bool is_open(int fd) noexcept {
    return ::fcntl(fd, F_GETFD) != -1;
}

/// Makes `number` mean what `from` means, for programs that are executed later, too.
inline bool replace_descriptor(int number, int from) noexcept {
    return ::dup2(from, number) == number;
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_FD_HPP
