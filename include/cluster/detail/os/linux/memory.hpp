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
#include <unistd.h>

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
        error = make_sealed(size, descriptor);
        return error ? shared_mapping{} : map(descriptor.get(), size, error);
    }

    /// Maps what another process made with `create`; refuses a descriptor that could shrink.
    static shared_mapping open(int descriptor, std::size_t size, std::error_code& error) noexcept {
        error = check_sealed(descriptor, size);
        return error ? shared_mapping{} : map(descriptor, size, error);
    }

    /// Zeroed memory of one page and `count` rings of `ring` bytes, whole pages, behind it. Each ring
    /// is mapped twice, one copy behind the other, so that nothing in it ever wraps: ring i begins at
    /// page_size() + 2 * i * ring.
    static shared_mapping create_rings(std::size_t ring,
                                       std::size_t count,
                                       unique_fd& descriptor,
                                       std::error_code& error) noexcept {
        error = make_sealed(page_size() + count * ring, descriptor);
        return error ? shared_mapping{} : map_rings(descriptor.get(), ring, count, error);
    }
    /// The same memory in another process.
    static shared_mapping open_rings(int descriptor,
                                     std::size_t ring,
                                     std::size_t count,
                                     std::error_code& error) noexcept {
        error = check_sealed(descriptor, page_size() + count * ring);
        return error ? shared_mapping{} : map_rings(descriptor, ring, count, error);
    }
    [[nodiscard]] static std::size_t page_size() noexcept {
        return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
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
    static std::error_code make_sealed(std::size_t size, unique_fd& descriptor) noexcept {
        rlimit most{};
        if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < size) {
            return {EFBIG, std::system_category()}; // ftruncate would raise SIGXFSZ
        }
        descriptor.reset(::memfd_create("cluster", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!descriptor || ::ftruncate(descriptor.get(), static_cast<off_t>(size)) != 0 ||
            ::fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
                0) {
            return last_error();
        }
        return {};
    }
    static std::error_code check_sealed(int descriptor, std::size_t size) noexcept {
        struct stat info {};
        int seals = ::fcntl(descriptor, F_GET_SEALS);
        bool fits = seals != -1 && (seals & F_SEAL_SHRINK) != 0 &&
                    ::fstat(descriptor, &info) == 0 && info.st_size >= static_cast<off_t>(size);
        return fits ? std::error_code{} : std::error_code{EINVAL, std::system_category()};
    }
    static shared_mapping map_rings(int descriptor,
                                    std::size_t ring,
                                    std::size_t count,
                                    std::error_code& error) noexcept {
        std::size_t page = page_size();
        std::size_t size = page + 2 * count * ring;
        shared_mapping result; // the range of addresses first, so that the copies lie side by side
        void* memory =
            ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            error = last_error();
            return result;
        }
        result.memory_ = memory;
        result.size_ = size;
        auto* at = static_cast<std::byte*>(memory);
        auto put = [&](std::byte* where, std::size_t bytes, std::size_t from) {
            return ::mmap(where,
                          bytes,
                          PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED,
                          descriptor,
                          static_cast<off_t>(from)) != MAP_FAILED;
        };
        bool mapped = put(at, page, 0);
        for (std::size_t i = 0; i != count; ++i) {
            std::size_t from = page + i * ring;
            std::byte* first = at + page + 2 * i * ring;
            mapped = mapped && put(first, ring, from) && put(first + ring, ring, from);
        }
        error = mapped ? std::error_code{} : last_error();
        return mapped ? std::move(result) : shared_mapping{};
    }

    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_MEMORY_HPP
