// SPDX-License-Identifier: MIT
#ifndef CLUSTER_UNIQUE_FD_HPP
#define CLUSTER_UNIQUE_FD_HPP

#include "detail/os/fd.hpp"

#include <utility>

namespace cluster {
inline namespace v0 {

/// The owner of one descriptor: closes it when destroyed. Move-only; an empty one holds -1.
///
/// Thread safety: distinct objects, safe; shared objects, unsafe.
class unique_fd {
public:
    unique_fd() noexcept = default;
    /// Takes ownership of `fd` (-1: none).
    explicit unique_fd(int fd) noexcept : fd_{fd} {}
    unique_fd(unique_fd&& other) noexcept : fd_{other.release()} {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~unique_fd() { reset(); }

    /// Borrows the descriptor: the caller must not close it.
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ != -1; }

    /// Gives the descriptor away: the caller closes it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes what is held, then takes ownership of `fd`.
    void reset(int fd = -1) noexcept {
        int old = std::exchange(fd_, fd);
        if (old != -1) {
            detail::os::close_descriptor(old);
        }
    }

    /// A second descriptor for the same open file, close-on-exec; empty when the system refuses.
    [[nodiscard]] unique_fd duplicate() const noexcept {
        return unique_fd{fd_ == -1 ? -1 : detail::os::duplicate(fd_)};
    }

private:
    int fd_ = -1;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_UNIQUE_FD_HPP
