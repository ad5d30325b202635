// SPDX-License-Identifier: MIT
#ifndef CLUSTER_STOP_TOKEN_HPP
#define CLUSTER_STOP_TOKEN_HPP

/// \file
/// Cancellation by request: the standard's types, or our own where the standard library has none.

#include <version>

#if defined(__cpp_lib_jthread)
#    include <stop_token>
#else
#    include "detail/stopping.hpp"
#endif

namespace cluster {
inline namespace v0 {

#if defined(__cpp_lib_jthread)
using std::stop_callback;
using std::stop_source;
using std::stop_token;
#else
using detail::stopping::stop_callback;
using detail::stopping::stop_source;
using detail::stopping::stop_token;
#endif

} // namespace v0
} // namespace cluster

#endif // CLUSTER_STOP_TOKEN_HPP
