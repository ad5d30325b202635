// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_SANITIZED_HPP
#define CLUSTER_TESTS_SUPPORT_SANITIZED_HPP

/// 1 where a sanitizer replaces the allocator: it holds freed memory back, and ends the program
/// instead of throwing std::bad_alloc.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define CLUSTER_TEST_SANITIZED 1
#elif defined(__has_feature)
#    define CLUSTER_TEST_SANITIZED                                                                 \
        (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                    \
         __has_feature(memory_sanitizer))
#else
#    define CLUSTER_TEST_SANITIZED 0
#endif

/// 1 under ThreadSanitizer, which has a thread of its own in every process that has had one.
#if defined(__SANITIZE_THREAD__)
#    define CLUSTER_TEST_THREAD_SANITIZED 1
#elif defined(__has_feature)
#    define CLUSTER_TEST_THREAD_SANITIZED __has_feature(thread_sanitizer)
#else
#    define CLUSTER_TEST_THREAD_SANITIZED 0
#endif

namespace cluster_test {

/// The first one, or the other where a sanitizer makes everything many times as slow.
template <typename T>
constexpr T unless_sanitized(T normal, T sanitized) {
    return CLUSTER_TEST_SANITIZED ? sanitized : normal;
}

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_SANITIZED_HPP
