// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_PROCESS_TITLE_HPP
#define CLUSTER_DETAIL_OS_LINUX_PROCESS_TITLE_HPP

#include "process_info.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<sys/single_threaded.h>)
#    include <sys/single_threaded.h>
#endif

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// The title; the kernel reads the command line of whoever looks from there, as long as the process
/// lives. argv stays as it is: the program holds pointers into it.
class process_title {
public:
    static constexpr std::size_t capacity = 4096; ///< with the NUL

    void show(std::string_view title) noexcept {
        const process_stat& now = look();
        const bool alone = now.is_known() && now.threads() == 1;
        if (!(alone && move_to(now, title.substr(0, capacity - 1))) && shown_ != nullptr) {
            const std::size_t size = title.copy(shown_->text(), shown_->size - 1);
            std::memset(shown_->text() + size, 0, shown_->size - size);
        }
    }

private:
    /// On the heap, where a forked copy, whose title is its own, writes anyway. What was shown before
    /// stays: the pages of who was copied are not worth a write.
    struct shown_text {
        const shown_text* before;
        std::size_t size; // with the NUL

        char* text() noexcept { return reinterpret_cast<char*>(this + 1); }
    };

    bool move_to(const process_stat& now, std::string_view title) noexcept {
        const std::size_t size = title.size() + 1;
        void* const memory = std::malloc(sizeof(shown_text) + size);
        if (memory == nullptr) {
            return false;
        }
        auto* const made = ::new (memory) shown_text{shown_, size};
        made->text()[title.copy(made->text(), title.size())] = '\0';
        if (!move_all(now, reinterpret_cast<std::uintptr_t>(made->text()), size)) {
            std::free(memory);
            return false;
        }
        shown_ = made;
        return true;
    }

    /// Where the kernel says that everything is, which stays, in a forked copy, too. Reading it takes
    /// as long as a tenth of a fork; so once, if there cannot have been a thread since.
    const process_stat& look() noexcept {
#if __has_include(<sys/single_threaded.h>)
        const bool is_known = layout_.is_known() && __libc_single_threaded != 0;
#else
        const bool is_known = false;
#endif
        if (!is_known) {
            char buffer[2048];
            layout_ = parse_stat(read_into("/proc/self/stat", buffer));
        }
        return layout_;
    }

    /// Both ends at once, for any user. The call sets all of the process's memory layout, the end of
    /// the heap with it: another thread that moves that meanwhile would lose memory that it uses.
    static bool move_all(const process_stat& now, std::uint64_t begin, std::size_t size) noexcept {
#if defined(PR_SET_MM_MAP) && defined(SYS_brk)
        prctl_mm_map map{};
        map.start_code = now.field[26];
        map.end_code = now.field[27];
        map.start_data = now.field[45];
        map.end_data = now.field[46];
        map.start_brk = now.field[47];
        map.brk = static_cast<std::uint64_t>(::syscall(SYS_brk, 0));
        map.start_stack = now.field[28];
        map.arg_start = begin;
        map.arg_end = begin + size;
        map.env_start = now.field[50];
        map.env_end = now.field[51];
        map.exe_fd = static_cast<std::uint32_t>(-1); // unchanged, as is the auxiliary vector
        return ::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0UL) == 0;
#else
        return (void)now, (void)begin, (void)size, false;
#endif
    }

    shown_text* shown_ = nullptr;
    process_stat layout_{};
};

/// Sets what ps(1) shows as the command line, cut to 4095 bytes. Thread-safe, but the first one is to
/// be set before other threads start, and a later one is then cut to the length of the one before.
///
/// Best effort: without the permission (a sandbox, a kernel that cannot) nothing changes.
inline void set_process_title(std::string_view title) noexcept {
    static process_title shown;
    static std::mutex one_at_a_time;
    std::lock_guard lock{one_at_a_time};
    shown.show(title);
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
