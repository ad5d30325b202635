// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ITERATOR_HPP
#define CLUSTER_DETAIL_ITERATOR_HPP

/// \file
/// Iterators. libstdc++'s `<iterator>` adds those of streams; `<span>` has all that is used here.

#include <version>

#if defined(__GLIBCXX__)
#    include <span>
#else
#    include <iterator>
#endif

#endif // CLUSTER_DETAIL_ITERATOR_HPP
