// SPDX-License-Identifier: MIT
//
// Feeds arbitrary bytes to serialization::binary. What it accepts must have an encoding that it
// accepts again, with the same result.
//
//   clang++ -std=c++20 -I include -g -O1 -fsanitize=fuzzer,address,undefined
//   tests/fuzz/binary_decode.cpp
//
// With support/fuzz_replay.cpp it is a program that runs over the files of its command line.
#include <cluster/byte_buffer.hpp>
#include <cluster/serialization/binary.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace {

enum class colour : std::uint8_t { red, green };

struct empty {};

struct point {
    float x = 0;
    std::int32_t y = 0;
};

struct tree {
    std::uint8_t value = 0;
    std::vector<tree> children;
    std::unique_ptr<tree> other;
};

class account {
public:
    template <class Archive>
    void serialize(Archive& archive) {
        archive(owner_, balance_);
        if (balance_ < 0) {
            archive.reject();
        }
    }

private:
    std::string owner_;
    std::int32_t balance_ = 0;
};

struct message {
    bool flag = false;
    colour shade{};
    std::string name;
    std::vector<std::uint16_t> numbers;
    std::vector<point> points;
    std::vector<std::pair<bool, std::int16_t>> pairs;
    std::vector<bool> bits;
    std::deque<std::optional<std::string>> maybes;
    std::map<std::string, std::vector<std::string>> table;
    std::unordered_map<std::uint8_t, std::set<std::int8_t>> index;
    std::variant<std::monostate, std::string, point, std::vector<empty>> either;
    std::chrono::milliseconds pause{};
    std::array<std::optional<bool>, 3> few{};
    std::tuple<double, std::u16string> both;
    std::vector<account> accounts;
    tree nested;
};

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using cluster::serialization::binary;
    message first;
    if (binary::decode(std::as_bytes(std::span{data, size}), first)) {
        return 0;
    }
    cluster::byte_buffer once;
    binary::encode(first, once);
    require(once.size() == size);

    message second;
    require(!binary::decode(once.span(), second));
    cluster::byte_buffer twice;
    binary::encode(second, twice);
    require(twice.size() == size);
    return 0;
}
