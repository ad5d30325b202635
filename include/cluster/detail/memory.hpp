// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MEMORY_HPP
#define CLUSTER_DETAIL_MEMORY_HPP

/// \file
/// Smart pointers. libstdc++'s `<memory>` adds algorithms for raw memory, atomic shared pointers and
/// what C++11 deprecated; `<condition_variable>` has all that is used here.

#include <version>

#if defined(__GLIBCXX__)
#    include <condition_variable>
#else
#    include <memory>
#endif

#endif // CLUSTER_DETAIL_MEMORY_HPP
