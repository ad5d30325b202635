// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_STICKY_MODULO_HPP
#define CLUSTER_SCHEDULING_STICKY_MODULO_HPP

#include "concept.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
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
        sort(ready);
        return order_[hash(text) % order_.size()];
    }

private:
    // What the last one left is nearly always in order still.
    template <typename Candidates>
    void sort(const Candidates& ready) {
        if (order_.size() != ready.size()) {
            order_.resize(ready.size());
            for (std::size_t i = 0; i != order_.size(); ++i) {
                order_[i] = i;
            }
        }
        auto place = [&ready](std::size_t i) { return std::pair{ready[i].slot(), ready[i].id()}; };
        for (std::size_t i = 1; i < order_.size(); ++i) {
            for (auto at = i; at != 0 && place(order_[at]) < place(order_[at - 1]); --at) {
                std::swap(order_[at], order_[at - 1]);
            }
        }
    }

    std::vector<std::size_t> order_; // of the candidates, by their place
};

static_assert(scheduling_policy<sticky_modulo>);

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_STICKY_MODULO_HPP
