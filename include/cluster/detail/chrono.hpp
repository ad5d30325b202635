// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CHRONO_HPP
#define CLUSTER_DETAIL_CHRONO_HPP

/// \file
/// Durations, time points and clocks. libstdc++'s `<chrono>` adds calendars, time zones and their
/// text, with the streams and the formatting that these need; `<mutex>` has all that is used here.

#include <version>

#if defined(__GLIBCXX__)
#    include <mutex>
#else
#    include <chrono>
#endif

#endif // CLUSTER_DETAIL_CHRONO_HPP
