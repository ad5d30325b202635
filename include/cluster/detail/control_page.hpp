// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CONTROL_PAGE_HPP
#define CLUSTER_DETAIL_CONTROL_PAGE_HPP

#include "os.hpp"

#include <atomic>
#include <cstdint>
#include <new>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Connections that may be on their way to one worker, handed over and not yet taken.
inline constexpr std::uint32_t hand_over_window = 32;

/// What a worker tells its primary without a system call, and what survives its death at any
/// instruction. The primary never trusts it: it can only hurt the worker's own connections.
///
/// The worker takes connections in the order of their sequence numbers. Before it runs the handler
/// of number n it stores n + 1 in `taken`; if it refuses number n (server closed, no descriptor
/// left) it first sets bit n % 32 of `refused`. So after a death the primary knows exactly which
/// connections no handler has seen; nobody is served twice and nothing is lost.
struct control_page {
    std::atomic<std::uint32_t> taken{0};
    std::atomic<std::uint64_t> refused{0};

    static std::uint64_t bit(std::uint32_t sequence) noexcept {
        return std::uint64_t{1} << (sequence % hand_over_window);
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "the page is shared between processes");

/// The page, mapped for as long as the object lives.
class control_mapping {
public:
    control_mapping() noexcept = default;

    static control_mapping create(unique_fd& descriptor, std::error_code& error) noexcept {
        control_mapping result;
        result.mapping_ = os::shared_mapping::create(sizeof(control_page), descriptor, error);
        if (!error) {
            ::new (result.mapping_.data()) control_page;
        }
        return result;
    }
    static control_mapping open(int descriptor, std::error_code& error) noexcept {
        control_mapping result;
        result.mapping_ = os::shared_mapping::open(descriptor, sizeof(control_page), error);
        return result;
    }

    [[nodiscard]] explicit operator bool() const noexcept { return mapping_.data() != nullptr; }
    control_page* operator->() const noexcept {
        return std::launder(static_cast<control_page*>(mapping_.data()));
    }

private:
    os::shared_mapping mapping_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CONTROL_PAGE_HPP
