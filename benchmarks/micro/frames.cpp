// SPDX-License-Identifier: MIT
// The header of a frame, beside a copy of its 16 bytes.
#include <cluster/ipc/frame.hpp>

#include "allocations.hpp"

#include <array>
#include <cstring>

namespace {

namespace detail = cluster::detail;
using bytes = std::array<std::byte, detail::frame_header_size>;

const detail::frame_header sample{64, detail::frame_kind::message, 0, 0x12345678, 7};

void raw_copy(benchmark::State& state) {
    const micro::count_allocations counted{state};
    auto from = sample;
    bytes into{};
    static_assert(sizeof from == sizeof into);
    for (auto _ : state) {
        benchmark::DoNotOptimize(from);
        std::memcpy(into.data(), &from, sizeof from);
        benchmark::DoNotOptimize(into);
    }
}
BENCHMARK(raw_copy)->Name("A frame's header, written/raw copy");
BENCHMARK(raw_copy)->Name("A frame's header, read and checked/raw copy");

void encode(benchmark::State& state) {
    const micro::count_allocations counted{state};
    auto from = sample;
    bytes into{};
    for (auto _ : state) {
        benchmark::DoNotOptimize(from);
        detail::encode_header(from, into);
        benchmark::DoNotOptimize(into);
    }
}
BENCHMARK(encode)->Name("A frame's header, written/ours");

void decode(benchmark::State& state) {
    const micro::count_allocations counted{state};
    bytes from{};
    detail::encode_header(sample, from);
    detail::frame_header into;
    for (auto _ : state) {
        benchmark::DoNotOptimize(from);
        auto error = detail::decode_header(from, detail::direction::to_primary, into);
        benchmark::DoNotOptimize(error);
        benchmark::DoNotOptimize(into);
    }
}
BENCHMARK(decode)->Name("A frame's header, read and checked/ours");

} // namespace

BENCHMARK_MAIN();
