// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CONFIG_HPP
#define CLUSTER_CONFIG_HPP

/// \file
/// Every switch of the library. None changes a layout, so translation units may differ.

#if !defined(__cpp_exceptions)
#    error "cluster: exceptions are needed; compile without -fno-exceptions (-fno-rtti is fine)"
#endif

/// A precondition that only a bug in the calling program can break; off with NDEBUG.
/// Define it before the first include to use your own.
#if !defined(CLUSTER_ASSERT)
#    if defined(NDEBUG)
#        define CLUSTER_ASSERT(condition, text) static_cast<void>(0)
#    else
#        include <cassert>
#        define CLUSTER_ASSERT(condition, text) assert((condition) && (text))
#    endif
#endif

#endif // CLUSTER_CONFIG_HPP
