// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_ADAPTERS_SERIALIZER_TEST_HPP
#define CLUSTER_TESTS_ADAPTERS_SERIALIZER_TEST_HPP

/// \file
/// What every serializer of another library must do, whatever its types look like.

#include "../support/cluster_test.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream> // doctest prints error codes
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace serializer_test {

template <typename S, typename T>
std::vector<std::byte> encoded(const T& value) {
    cluster::byte_buffer out;
    S{}.encode(value, out);
    return {out.span().begin(), out.span().end()};
}

inline std::vector<std::byte> bytes_of(std::string_view text) {
    auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
}

inline std::string repeated(std::string_view text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i != times; ++i) {
        all += text;
    }
    return all;
}

/// Decodes from memory of exactly that size and of no particular alignment: a sanitizer sees every
/// read beside it.
template <typename S, typename T>
std::error_code decode(std::span<const std::byte> bytes, T& value) {
    auto exact = std::make_unique<std::byte[]>(bytes.size() + 1);
    if (!bytes.empty()) {
        std::memcpy(exact.get() + 1, bytes.data(), bytes.size());
    }
    return S{}.decode(std::span<const std::byte>{exact.get() + 1, bytes.size()}, value);
}

template <typename S, typename T>
void check_round_trip(const T& value) {
    cluster::byte_buffer out;
    out.append_le(std::uint8_t{7}); // encode() appends
    S{}.encode(value, out);
    REQUIRE(out.span()[0] == std::byte{7});
    T back{};
    CHECK(decode<S>(out.span().subspan(1), back) == std::error_code{});
    CHECK(static_cast<bool>(back == value));
}

/// Every beginning of an encoding. `all_are_errors`: of a format that has no end of its own, some
/// are values.
template <typename S, typename T>
void check_truncations(const T& value, bool all_are_errors = true) {
    const auto whole = encoded<S>(value);
    for (std::size_t size = 0; size != whole.size(); ++size) {
        T back{};
        const auto error = decode<S>(std::span{whole}.first(size), back);
        CAPTURE(size);
        CHECK((error || !all_are_errors));
    }
}

template <typename S, typename T>
void check_trailing_bytes(const T& value) {
    for (const std::byte last : {std::byte{0}, std::byte{1}, std::byte{'x'}, std::byte{0xff}}) {
        auto longer = encoded<S>(value);
        longer.push_back(last);
        T back{};
        CHECK(decode<S>(longer, back));
    }
}

/// Flipped bits and random bytes, always the same: all that is asked is that it ends, and that what
/// is accepted can be encoded.
template <typename S, typename T>
void check_noise(const T& value, int rounds = 4000) {
    const auto whole = encoded<S>(value);
    std::mt19937 random{20240229};
    for (int round = 0; round != rounds; ++round) {
        auto noisy = whole;
        if (round % 8 == 7) {
            noisy.resize(random() % 64);
            for (auto& each : noisy) {
                each = static_cast<std::byte>(random());
            }
        }
        for (auto flips = 1 + random() % 4; flips != 0 && !noisy.empty(); --flips) {
            noisy[random() % noisy.size()] ^= static_cast<std::byte>(1U << random() % 8);
        }
        T back{};
        if (!decode<S>(noisy, back)) {
            cluster::byte_buffer out;
            CHECK_NOTHROW(S{}.encode(back, out));
        }
    }
}

/// A worker that gives messages and requests back, in a cluster with that serializer. Called from
/// the test case `name`.
template <typename S, typename T>
void check_cluster(const char* name, const T& value) {
    using clusters = cluster::compose<S>;
    static_assert(std::is_same_v<typename clusters::serializer_type, S>);
    int answers = 0;
    int messages = 0;
    const int code = cluster_test::run_case<clusters>(
        name,
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on_message([&](const T& message) {
                messages += message == value ? 1 : 100;
                if (messages == 3) {
                    worker.disconnect();
                }
            });
            worker.on(cluster::event::online, [&] {
                worker.template request<T>(value, [&](cluster::result<T> answer) {
                    REQUIRE(answer.has_value());
                    answers += answer.value() == value ? 1 : 100;
                    for (int i = 0; i != 3; ++i) {
                        worker.send(value);
                    }
                });
            });
        },
        [](auto& self) {
            self.on_request([](const T& question) { return question; });
            self.on_message([&self](const T& message) { self.send(message); });
        });
    CHECK(code == 0);
    CHECK(answers == 1);
    CHECK(messages == 3);
}

} // namespace serializer_test

#endif // CLUSTER_TESTS_ADAPTERS_SERIALIZER_TEST_HPP
