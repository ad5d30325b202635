// SPDX-License-Identifier: MIT
// Counts what operator new is asked for. Replaces it: for programs of one translation unit.
#ifndef CLUSTER_TESTS_SUPPORT_ALLOCATIONS_HPP
#define CLUSTER_TESTS_SUPPORT_ALLOCATIONS_HPP

#include <cstddef>
#include <cstdlib>
#include <new>

/// Of this thread, since it began.
inline thread_local std::size_t allocations = 0;

// Not inline: GCC would take malloc() and delete for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) {
        return memory;
    }
    throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

#endif // CLUSTER_TESTS_SUPPORT_ALLOCATIONS_HPP
