// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_RANGE_HPP
#define CLUSTER_POOL_DETAIL_RANGE_HPP

/// \file
/// What map() and for_each() need of `<ranges>`, most of which is views: it would be a sixteenth of
/// what the umbrella header costs.

#include "../../detail/iterator.hpp"

#include <cstddef>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename Range>
using iterator_of = decltype(std::begin(std::declval<Range&>()));
template <typename Range>
using element_of = std::iter_reference_t<iterator_of<Range>>;

template <typename Range>
concept forward_range = requires(Range& range) {
    { std::begin(range) } -> std::forward_iterator;
    { std::end(range) } -> std::sentinel_for<iterator_of<Range>>;
};
template <typename Range>
concept random_access_range =
    forward_range<Range> && std::random_access_iterator<iterator_of<Range>>;

template <forward_range Range>
std::size_t size_of(Range& range) {
    return static_cast<std::size_t>(std::ranges::distance(std::begin(range), std::end(range)));
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_RANGE_HPP
