// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_MEMORY_HPP
#define CLUSTER_DETAIL_OS_LINUX_MEMORY_HPP

#include "../../../unique_fd.hpp"
#include "fd.hpp"

#include <cerrno>
#include <cstddef>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Memory that two processes share: mapped for as long as the object lives. The descriptor is
/// sealed against a change of size, so that no peer can make the other one fault.
class shared_mapping {
public:
    shared_mapping() noexcept = default;
    shared_mapping(shared_mapping&& other) noexcept
        : memory_{std::exchange(other.memory_, nullptr)}, size_{std::exchange(other.size_, 0)} {}
    shared_mapping& operator=(shared_mapping&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~shared_mapping() {
        if (memory_ != nullptr) {
            ::munmap(memory_, size_);
        }
    }

    [[nodiscard]] void* data() const noexcept { return memory_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// Zeroed memory of `size` bytes and the descriptor that others map it by.
    static shared_mapping
    create(std::size_t size, unique_fd& descriptor, std::error_code& error) noexcept {
        rlimit most{};
        if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < size) {
            error = {EFBIG, std::system_category()}; // ftruncate would raise SIGXFSZ
            return {};
        }
        descriptor.reset(::memfd_create("cluster", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!descriptor || ::ftruncate(descriptor.get(), static_cast<off_t>(size)) != 0 ||
            ::fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
                0) {
            error = last_error();
            return {};
        }
        return map(descriptor.get(), size, error);
    }

    /// Maps what another process made with `create`; refuses a descriptor that could shrink.
    static shared_mapping open(int descriptor, std::size_t size, std::error_code& error) noexcept {
        struct stat info {};
        int seals = ::fcntl(descriptor, F_GET_SEALS);
        if (seals == -1 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(descriptor, &info) != 0 ||
            info.st_size < static_cast<off_t>(size)) {
            error = {EINVAL, std::system_category()};
            return {};
        }
        return map(descriptor, size, error);
    }

    /// Maps what can be trusted not to shrink, such as a map of bpf(2).
    static shared_mapping map(int descriptor, std::size_t size, std::error_code& error) noexcept {
        void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        shared_mapping result;
        if (memory == MAP_FAILED) {
            error = last_error();
        } else {
            error.clear();
            result.memory_ = memory;
            result.size_ = size;
        }
        return result;
    }

private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_MEMORY_HPP
