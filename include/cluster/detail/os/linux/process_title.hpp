// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_PROCESS_TITLE_HPP
#define CLUSTER_DETAIL_OS_LINUX_PROCESS_TITLE_HPP

#include "../../algorithm.hpp"
#include "process_info.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<sys/single_threaded.h>)
#    include <sys/single_threaded.h>
#endif

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Memory for the title that lives as long as the process; the kernel reads the command line of
/// whoever looks from there. argv stays as it is: the program holds pointers into it.
class title_memory {
public:
    static constexpr std::size_t capacity = 4096; ///< with the NUL

    title_memory() noexcept {
        // The second page has no access: nobody reads past the title while its end moves.
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t size = detail::max(page, capacity);
        void* memory = ::mmap(
            nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) {
            text_ = static_cast<char*>(memory);
            ::mprotect(text_ + size, page, PROT_NONE);
        }
    }

    void show(std::string_view title) noexcept {
        const process_stat& now = look();
        if (text_ == nullptr || now.state == '\0') {
            return;
        }
        const std::size_t size = title.copy(text_, capacity - 1) + 1;
        text_[size - 1] = '\0';
        if (move_all(now, size) || move_each(now, size)) {
            shown_ = size;
        } else if (shown_ != 0) { // shown, but with the end where it was
            if (size < shown_) {
                std::memset(text_ + size, 0, shown_ - size);
            }
            text_[shown_ - 1] = '\0';
        }
    }

private:
    /// Where the kernel says that everything is, which stays, in a forked copy, too. Reading it takes
    /// as long as a tenth of a fork; so once, if there cannot have been a thread since.
    const process_stat& look() noexcept {
#if __has_include(<sys/single_threaded.h>)
        const bool is_known = layout_.state != '\0' && __libc_single_threaded != 0;
#else
        const bool is_known = false;
#endif
        if (!is_known) {
            char buffer[2048];
            layout_ = parse_stat(read_into("/proc/self/stat", buffer));
        }
        return layout_;
    }

    [[nodiscard]] std::uint64_t begin() const noexcept {
        return reinterpret_cast<std::uintptr_t>(text_);
    }

    /// Both ends at once, for any user. The call sets all of the process's memory layout, the end of
    /// the heap with it: another thread that moves that meanwhile would lose memory that it uses.
    bool move_all(const process_stat& now, std::size_t size) noexcept {
#if defined(PR_SET_MM_MAP) && defined(SYS_brk)
        if (now.field[20] != 1) { // threads
            return false;
        }
        prctl_mm_map map{};
        map.start_code = now.field[26];
        map.end_code = now.field[27];
        map.start_data = now.field[45];
        map.end_data = now.field[46];
        map.start_brk = now.field[47];
        map.brk = static_cast<std::uint64_t>(::syscall(SYS_brk, 0));
        map.start_stack = now.field[28];
        map.arg_start = begin();
        map.arg_end = begin() + size;
        map.env_start = now.field[50];
        map.env_end = now.field[51];
        map.exe_fd = static_cast<std::uint32_t>(-1); // unchanged, as is the auxiliary vector
        return ::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0UL) == 0;
#else
        return (void)now, (void)size, false;
#endif
    }

    /// One end after the other, so that the beginning is never behind the end; for root only.
    bool move_each(const process_stat& now, std::size_t size) noexcept {
        const std::uint64_t end = begin() + size;
        const bool start_first = begin() <= now.field[49]; // the end as it is
        return start_first ? move(PR_SET_MM_ARG_START, begin()) && move(PR_SET_MM_ARG_END, end)
                           : move(PR_SET_MM_ARG_END, end) && move(PR_SET_MM_ARG_START, begin());
    }

    static bool move(int what, std::uint64_t address) noexcept {
        return ::prctl(PR_SET_MM, what, address, 0UL, 0UL) == 0;
    }

    char* text_ = nullptr;
    std::size_t shown_ = 0; ///< how much of it the kernel shows
    process_stat layout_{};
};

/// Sets what ps(1) shows as the command line, cut to 4095 bytes. Thread-safe, but to be called before
/// other threads start, unless the process is root's: with several threads a first title needs the
/// capability CAP_SYS_RESOURCE, and a later one without it is cut to the length of the first.
///
/// Best effort: without the permission (a sandbox, a kernel that cannot) nothing changes.
inline void set_process_title(std::string_view title) noexcept {
    static title_memory memory;
    static std::mutex one_at_a_time;
    std::lock_guard lock{one_at_a_time};
    memory.show(title);
}

/// Sets the name of the calling thread, cut to 15 bytes; the main thread's is the process's in top.
inline void set_thread_name(std::string_view name) noexcept {
    char text[16] = {};
    name.copy(text, sizeof text - 1);
    ::prctl(PR_SET_NAME, text, 0UL, 0UL, 0UL);
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_PROCESS_TITLE_HPP
