// SPDX-License-Identifier: MIT
// Messages to bytes and back, beside a copy of as many bytes.
#include <cluster/byte_buffer.hpp>
#include <cluster/serialization/binary.hpp>
#include <cluster/serialization/raw.hpp>

#include "allocations.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct numbers { // 64 bytes
    std::array<std::uint64_t, 8> values{1, 2, 3, 4, 5, 6, 7, 8};
};
struct job {
    std::uint32_t id = 7;
    std::string name = "a name that needs memory of its own";
    std::vector<std::int32_t> values = std::vector<std::int32_t>(100, 42);
};

template <typename Message, typename Serializer>
std::size_t size_of() {
    cluster::byte_buffer out;
    Serializer{}.encode(Message{}, out);
    return out.size();
}

template <typename Message, typename Serializer>
void raw_copy(benchmark::State& state) {
    const std::vector<std::byte> from(size_of<Message, Serializer>());
    std::vector<std::byte> into(from.size());
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        std::memcpy(into.data(), from.data(), from.size());
        benchmark::DoNotOptimize(into.data());
        benchmark::ClobberMemory();
    }
}

template <typename Message, typename Serializer>
void encode(benchmark::State& state) {
    Message message;
    cluster::byte_buffer out{4096};
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        benchmark::DoNotOptimize(message);
        out.clear();
        Serializer{}.encode(message, out);
        benchmark::DoNotOptimize(out.data());
        benchmark::ClobberMemory();
    }
}

template <typename Message, typename Serializer>
void decode(benchmark::State& state) {
    cluster::byte_buffer out;
    Serializer{}.encode(Message{}, out);
    Message into; // its memory is used again
    const micro::count_allocations counted{state};
    for (auto _ : state) {
        auto error = Serializer{}.decode(out.span(), into);
        benchmark::DoNotOptimize(error);
        benchmark::DoNotOptimize(into);
    }
}

using binary = cluster::serialization::binary;
using raw = cluster::serialization::raw;

BENCHMARK(raw_copy<numbers, raw>)->Name("64 bytes of numbers, encoded/raw copy");
BENCHMARK(encode<numbers, raw>)->Name("64 bytes of numbers, encoded/ours raw");
BENCHMARK(encode<numbers, binary>)->Name("64 bytes of numbers, encoded/ours binary");
BENCHMARK(raw_copy<numbers, raw>)->Name("64 bytes of numbers, decoded/raw copy");
BENCHMARK(decode<numbers, raw>)->Name("64 bytes of numbers, decoded/ours raw");
BENCHMARK(decode<numbers, binary>)->Name("64 bytes of numbers, decoded/ours binary");
BENCHMARK(raw_copy<job, binary>)->Name("A string and 100 numbers, encoded/raw copy");
BENCHMARK(encode<job, binary>)->Name("A string and 100 numbers, encoded/ours binary");
BENCHMARK(raw_copy<job, binary>)->Name("A string and 100 numbers, decoded/raw copy");
BENCHMARK(decode<job, binary>)->Name("A string and 100 numbers, decoded/ours binary");

} // namespace

BENCHMARK_MAIN();
