// SPDX-License-Identifier: MIT
// What .github/docs/serializers.md shows.
#include <cluster.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace docs_serializer {

// [own serializer]
template <typename T>
concept plain = std::is_trivially_copyable_v<T>;

struct as_it_lies {
    static constexpr std::string_view name = "as_it_lies"; // both sides compare it
    void encode(const plain auto& from, cluster::byte_buffer& to) { to.append(&from, sizeof from); }
    std::error_code decode(std::span<const std::byte> from, plain auto& to) {
        if (from.size() != sizeof to) {
            return cluster::errc::bad_payload; // hostile bytes are an error, not an exception
        }
        std::memcpy(&to, from.data(), sizeof to);
        return {};
    }
};
static_assert(cluster::serializes<as_it_lies, int>);

using my_cluster = cluster::compose<as_it_lies>;
// [/own serializer]

// [own type]
class account {
public:
    account() = default;
    explicit account(std::string owner, long balance)
        : owner_{std::move(owner)}, balance_{balance} {}

    template <class Archive>
    void serialize(Archive& archive) { // both ways
        archive(owner_, balance_);
    }
    friend bool operator==(const account&, const account&) = default;

private:
    std::string owner_;
    long balance_ = 0;
};
static_assert(cluster::serializes<cluster::serialization::binary, account>);
// [/own type]

// What comes back of a value; of all its bytes but the last nothing does.
template <typename Serializer, typename T>
T there_and_back(const T& value) {
    cluster::byte_buffer bytes;
    Serializer serializer;
    serializer.encode(value, bytes);
    T part{};
    CHECK(serializer.decode(bytes.span().first(bytes.size() - 1), part));
    T whole{};
    CHECK_FALSE(serializer.decode(bytes.span(), whole));
    return whole;
}

} // namespace docs_serializer

TEST_CASE("docs: what a serializer or a type of one's own encodes comes back") {
    using docs_serializer::account;
    CHECK(docs_serializer::there_and_back<docs_serializer::as_it_lies>(42) == 42);
    account alice{"alice", 12};
    CHECK((docs_serializer::there_and_back<cluster::serialization::binary>(alice) == alice));
}
