// SPDX-License-Identifier: MIT
#include <cluster/shared_memory/shared_array.hpp> // first and alone: it is self-contained

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <system_error>
#include <type_traits>

namespace {

template <typename T>
cluster::shared_array<T> make(std::size_t count, cluster::unique_fd& fd) {
    std::error_code error;
    auto region = cluster::detail::shared_region::create(count * sizeof(T), fd, error);
    REQUIRE(!error);
    return {std::move(region), count};
}

static_assert(std::is_nothrow_copy_constructible_v<cluster::shared_array<int>>);

} // namespace

TEST_CASE("a shared array begins as zeros and copies mean the same elements") {
    cluster::unique_fd fd;
    auto one = make<std::atomic<int>>(4, fd);
    const auto other = one;
    CHECK(other.size() == 4);
    CHECK(!other.empty());
    CHECK(other[3].load() == 0);
    one[3].fetch_add(7);
    CHECK(other[3].load() == 7);
    CHECK(&one[0] == other.data());
}

TEST_CASE("a shared array is a range of plain elements") {
    cluster::unique_fd fd;
    auto numbers = make<int>(10, fd);
    std::iota(numbers.begin(), numbers.end(), 1);
    int sum = 0;
    for (int each : numbers) {
        sum += each;
    }
    CHECK(sum == 55);
    CHECK(numbers.span().back() == 10);
}

TEST_CASE("a handle without memory is empty") {
    cluster::shared_array<int> none;
    CHECK(none.empty());
    CHECK(none.begin() == none.end());
    CHECK(none.data() == nullptr);
}

TEST_CASE("the memory lives as long as a handle and its descriptor need not") {
    cluster::unique_fd fd;
    auto kept = make<int>(1, fd);
    kept[0] = 5;
    fd.reset();
    auto copy = kept;
    kept = {};
    CHECK(copy[0] == 5);
}
