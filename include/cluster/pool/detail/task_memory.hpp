// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_MEMORY_HPP
#define CLUSTER_POOL_DETAIL_TASK_MEMORY_HPP

#include "../../detail/memory_blocks.hpp"

#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Memory for tasks, used again: no lock and no allocation for a task once as many have been alive.
///
/// Each thread keeps what it frees. One thread often makes what another one frees; so what a thread
/// has too much of goes, a chain of `chain` blocks at a time, to where threads that have none look.
/// (The allocator's own cache holds seven of a size; hundreds of tasks are alive at a time.)
/// Any thread, also one that is about to end.
class task_memory {
public:
    /// \throws std::bad_alloc
    [[nodiscard]] static void* take(std::size_t size) {
        const std::size_t index = class_of(size);
        if (index < classes) {
            kept& here = local().of[index];
            if (here.first != nullptr || fetch(here, index)) {
                --here.count;
                return std::exchange(here.first, here.first->next);
            }
        }
        return ::operator new(index < classes ? (index + 1) * granule : size);
    }

    /// \param size as for take()
    static void give(void* room, std::size_t size) noexcept {
        const std::size_t index = class_of(size);
        cache& mine = local();
        if (index >= classes || mine.closed) {
            ::operator delete(room);
            return;
        }
        if (!mine.watched) {
            watch(mine);
        }
        kept& here = mine.of[index];
        here.first = ::new (room) block{here.first, nullptr};
        if (++here.count == most_kept) {
            shed(here, index);
        }
    }

private:
    static constexpr std::size_t granule = 64;
    static constexpr std::size_t classes = memory_is_watched ? 0 : 8;
    static constexpr unsigned chain = 64;
    static constexpr unsigned most_kept = 4 * chain;
    static constexpr unsigned most_chains = 64; // in the depot, of one class

    struct block {
        block* next;
        block* next_chain; // of the first one
    };
    struct kept {
        block* first = nullptr;
        unsigned count = 0;
        block* chains = nullptr; // whole ones, from the depot
    };
    struct cache {
        kept of[classes + 1];
        bool watched = false; // its thread's end is
        bool closed = false;
    };
    /// Chains that any thread may have. All of them are taken at once: so none can come back while
    /// somebody looks at it.
    struct alignas(64) depot {
        std::atomic<block*> first{nullptr};
        std::atomic<unsigned> count{0};
    };

    static std::size_t class_of(std::size_t size) noexcept { return (size - 1) / granule; }

    static cache& local() noexcept {
        static constinit thread_local cache instance;
        return instance;
    }
    static depot& shared(std::size_t index) noexcept {
        static constinit depot instances[classes + 1];
        return instances[index];
    }

    /// Gives what the thread has kept to the depot when it ends.
    struct thread_end {
        ~thread_end() {
            cache& mine = local();
            mine.closed = true;
            for (std::size_t i = 0; i != classes; ++i) {
                kept& here = mine.of[i];
                while (here.first != nullptr) {
                    ::operator delete(std::exchange(here.first, here.first->next));
                }
                while (here.chains != nullptr) {
                    store(std::exchange(here.chains, here.chains->next_chain), i);
                }
            }
        }
    };

    /// \returns whether there is something now
    [[gnu::noinline]] static bool fetch(kept& here, std::size_t index) noexcept {
        if (here.chains == nullptr) {
            cache& mine = local();
            depot& all = shared(index);
            if (mine.closed || all.first.load(std::memory_order_relaxed) == nullptr) {
                return false;
            }
            here.chains = all.first.exchange(nullptr, std::memory_order_acquire);
            all.count.store(0, std::memory_order_relaxed);
            if (here.chains == nullptr) {
                return false;
            }
            if (!mine.watched) {
                watch(mine);
            }
        }
        here.first = std::exchange(here.chains, here.chains->next_chain);
        here.count = chain;
        return true;
    }

    /// Half of what there is goes.
    [[gnu::noinline]] static void shed(kept& here, std::size_t index) noexcept {
        while (here.count > most_kept / 2) {
            block* const first = here.first;
            block* last = first;
            for (unsigned i = 1; i != chain; ++i) {
                last = last->next;
            }
            here.first = std::exchange(last->next, nullptr);
            here.count -= chain;
            store(first, index);
        }
    }

    static void store(block* first, std::size_t index) noexcept {
        depot& all = shared(index);
        if (all.count.fetch_add(1, std::memory_order_relaxed) >= most_chains) {
            while (first != nullptr) {
                ::operator delete(std::exchange(first, first->next));
            }
            return;
        }
        first->next_chain = all.first.load(std::memory_order_relaxed);
        while (!all.first.compare_exchange_weak(
            first->next_chain, first, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }

    [[gnu::noinline]] static void watch(cache& mine) noexcept {
        mine.watched = true;
        static thread_local thread_end instance;
        static_cast<void>(instance);
    }
};

/// Base of what lives in task_memory.
struct in_task_memory {
    static void* operator new(std::size_t size) { return task_memory::take(size); }
    static void operator delete(void* room, std::size_t size) noexcept {
        task_memory::give(room, size);
    }
    static void* operator new(std::size_t size, std::align_val_t alignment) {
        return ::operator new(size, alignment);
    }
    static void operator delete(void* room, std::size_t, std::align_val_t alignment) noexcept {
        ::operator delete(room, alignment);
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_MEMORY_HPP
