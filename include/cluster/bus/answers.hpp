// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_ANSWERS_HPP
#define CLUSTER_BUS_ANSWERS_HPP

#include "../detail/algorithm.hpp"
#include "../detail/chrono.hpp"
#include "../result.hpp"

#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

namespace cluster {
inline namespace v0 {

/// How long request_all() waits, and for how many.
struct request_all_options {
    /// Answers, failures among them; 0: of every node that is known now, see nodes().
    std::size_t expected = 0;
    /// How long it waits.
    std::chrono::nanoseconds timeout = std::chrono::seconds{5};
};

/// What one node has answered.
template <typename Reply>
struct bus_answer {
    std::string node;
    /// Its value, or why there is none.
    result<Reply> reply;
};

/// What the nodes have answered, in the order in which it came; at the deadline a known node that
/// was silent stands there with `errc::request_timeout`.
template <typename Reply>
struct bus_answers {
    /// One for each node that has answered or should have.
    std::vector<bus_answer<Reply>> answers{};
    /// How many values would make it complete.
    std::size_t expected = 0;
    std::error_code error{}; ///< why nothing was asked at all

    /// Whether as many values came as were expected.
    [[nodiscard]] bool complete() const noexcept { return !error && values() >= expected; }
    /// Answers that are values.
    [[nodiscard]] std::size_t values() const noexcept {
        return detail::count_if(answers, [](const auto& each) { return each.reply.has_value(); });
    }
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_ANSWERS_HPP
