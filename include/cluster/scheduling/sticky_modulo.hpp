// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_STICKY_MODULO_HPP
#define CLUSTER_SCHEDULING_STICKY_MODULO_HPP

#include "concept.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace scheduling {

/// A `scheduling_policy`: a client's address always gives the same worker, as in the usual sticky
/// sessions of Node.js programs, number for number: the text of the address, hashed with 31, modulo
/// the number of workers. When a worker comes or goes, nearly every client moves; `sticky` is
/// better wherever the numbers need not be these. Clients without an address are served in turn.
class sticky_modulo {
public:
    static constexpr std::string_view name = "sticky_modulo";
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool waits_for_one = true;

    /// \returns 0 to 2^31, as JavaScript's Math.abs of a 32-bit number.
    [[nodiscard]] static constexpr std::uint32_t hash(std::string_view text) noexcept {
        std::uint32_t sum = 0;
        for (char each : text) {
            sum = sum * 31 + static_cast<unsigned char>(each);
        }
        return sum > 0x8000'0000U ? 0 - sum : sum;
    }

    template <typename Candidates>
    choice pick(const Candidates& ready, const connection_info& from) {
        std::string text = from.remote.host();
        if (text.empty()) {
            return refusal::fallback;
        }
        order_.resize(ready.size());
        for (std::size_t i = 0; i != order_.size(); ++i) {
            order_[i] = i;
        }
        auto chosen = order_.begin() + static_cast<std::ptrdiff_t>(hash(text) % order_.size());
        std::nth_element(order_.begin(), chosen, order_.end(), [&ready](auto one, auto other) {
            return ready[one].slot() != ready[other].slot()
                       ? ready[one].slot() < ready[other].slot()
                       : ready[one].id() < ready[other].id();
        });
        return *chosen;
    }

private:
    std::vector<std::size_t> order_; // of the candidates, by their place
};

static_assert(scheduling_policy<sticky_modulo>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_STICKY_MODULO_HPP
