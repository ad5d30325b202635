// SPDX-License-Identifier: MIT
//
// Feeds arbitrary bytes to both ends of a channel, cut at arbitrary places. What is delivered obeys
// the rules of its kind and is what the bytes say; whatever else they are, the channel ends in a
// violation, an end, or waits for more.
//
//   clang++ -std=c++20 -I include -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/frame.cpp
//
// With support/fuzz_replay.cpp it is a program that runs over the files of its command line.
#include <cluster/event_loop.hpp>
#include <cluster/ipc/channel.hpp>
#include <cluster/ipc/frame.hpp>
#include <cluster/ipc/wire.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace {

using namespace cluster::detail;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

struct checking_owner final : channel_owner {
    direction way;
    std::vector<std::byte> seen; // the bytes of all frames, encoded again
    int ends = 0;
    int violations = 0;

    explicit checking_owner(direction incoming) : way{incoming} {}

    void on_frame(frame& arrived) override {
        require(ends == 0 && violations == 0);
        require(check_frame(arrived.header, way) == cluster::errc{});
        require(arrived.payload.size() == arrived.header.length);
        require(arrived.header.descriptors == 0 && arrived.descriptors.empty()); // none are sent
        std::array<std::byte, frame_header_size> header{};
        encode_header(arrived.header, header);
        seen.insert(seen.end(), header.begin(), header.end());
        seen.insert(seen.end(), arrived.payload.begin(), arrived.payload.end());
        decode_everything(arrived.payload);
    }
    void on_channel_drained() override { std::abort(); }
    void on_channel_end() override { ++ends; }
    void on_violation(cluster::errc) override { ++violations; }

    // The payloads of the library's own frames, whatever kind this one claims to be.
    static void decode_everything(std::span<const std::byte> payload) {
        welcome_message welcome;
        decode_wire(payload, welcome);
        online_message online;
        decode_wire(payload, online);
        listen_message asked;
        if (decode_wire(payload, asked)) {
            for (const auto& each : asked.candidates) {
                static_cast<void>(from_wire(each).to_string());
            }
        }
        listen_result_message result;
        if (decode_wire(payload, result)) {
            static_cast<void>(error_of(result));
            static_cast<void>(from_wire(result.at).to_string());
        }
    }
};

void feed(std::span<const std::byte> bytes, std::size_t step, direction way) {
    cluster::event_loop loop;
    cluster::unique_fd ours;
    cluster::unique_fd theirs;
    require(!os::make_channel(ours, theirs));
    checking_owner owner{way};
    channel link{loop, owner, way};
    require(!link.open(std::move(ours)));
    for (std::size_t at = 0; at < bytes.size() && link.is_open();) {
        auto part = bytes.subspan(at, step < bytes.size() - at ? step : bytes.size() - at);
        auto sent = os::send(theirs.get(), part);
        at += sent.error == 0 ? sent.bytes : 0;
        loop.poll();
    }
    theirs.reset();
    for (int turn = 0; turn != 1000 && owner.ends == 0 && owner.violations == 0; ++turn) {
        loop.poll();
    }
    require(owner.ends + owner.violations == 1);
    require(owner.seen.size() <= bytes.size());
    require(owner.seen.empty() ||
            std::memcmp(owner.seen.data(), bytes.data(), owner.seen.size()) == 0);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto bytes = std::as_bytes(std::span{data, size});
    std::size_t step = size == 0 ? 1 : 1 + 37 * static_cast<std::size_t>(data[size - 1]);
    feed(bytes, step, direction::to_worker);
    feed(bytes, step, direction::to_primary);
    return 0;
}
