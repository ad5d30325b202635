// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_STRING_MAP_HPP
#define CLUSTER_DETAIL_STRING_MAP_HPP

#include "../byte_buffer.hpp"
#include "hash_map.hpp"
#include "os.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace cluster {
inline namespace v0 {
namespace detail {

/// SipHash-1-3, whose results nobody foresees who does not know the key: peers choose the texts.
class keyed_hash {
public:
    [[nodiscard]] std::uint64_t operator()(std::string_view text) const noexcept {
        state s{key_0_ ^ 0x736f6d6570736575U,
                key_1_ ^ 0x646f72616e646f6dU,
                key_0_ ^ 0x6c7967656e657261U,
                key_1_ ^ 0x7465646279746573U};
        const auto last = static_cast<std::uint64_t>(text.size()) << 56U;
        for (; text.size() >= 8; text.remove_prefix(8)) {
            s.take(load(text.data(), 8));
        }
        s.take(last | load(text.data(), text.size()));
        s.v2 ^= 0xffU;
        s.round();
        s.round();
        s.round();
        return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    }

private:
    struct state {
        std::uint64_t v0, v1, v2, v3;

        void take(std::uint64_t word) noexcept {
            v3 ^= word;
            round();
            v0 ^= word;
        }
        void round() noexcept {
            v0 += v1;
            v1 = std::rotl(v1, 13) ^ v0;
            v0 = std::rotl(v0, 32);
            v2 += v3;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 += v3;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 += v1;
            v1 = std::rotl(v1, 17) ^ v2;
            v2 = std::rotl(v2, 32);
        }
    };

    static std::uint64_t load(const char* from, std::size_t size) noexcept {
        std::byte bytes[8]{};
        if (size != 0) { // memcpy takes no null pointer, not even for nothing
            std::memcpy(bytes, from, size);
        }
        return load_little_endian<std::uint64_t>(bytes);
    }

    std::uint64_t key_0_ = os::random_seed();
    std::uint64_t key_1_ = os::random_seed();
};

template <typename Value>
using string_map = hash_map<std::string, std::string_view, Value, keyed_hash>;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_STRING_MAP_HPP
