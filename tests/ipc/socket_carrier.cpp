// SPDX-License-Identifier: MIT
#include <cluster/ipc/socket_carrier.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <utility>

#include <sys/socket.h>
#include <sys/types.h>

namespace {

using namespace cluster::detail;

/// A carrier whose socket keeps records, of which a read that asks for less loses the rest: what it
/// gets shows for how much each read asks.
struct record_reader {
    raw::ends sockets = raw::socket_pair(SOCK_SEQPACKET);
    socket_carrier carrier{std::move(sockets.ours)};
    inbox into;

    std::size_t read_one_of(std::size_t size) {
        const std::string record(size, 'x');
        REQUIRE(::send(sockets.theirs.get(), record.data(), size, 0) == static_cast<ssize_t>(size));
        const auto got = carrier.pull(into);
        CHECK(got.error == 0);
        CHECK(into.bytes.size() == got.bytes);
        into.bytes.clear();
        return got.bytes;
    }
};

} // namespace

TEST_SUITE("ipc/socket_carrier") {
    TEST_CASE("a peer whose messages are longer is read by one call for each") {
        record_reader reader;
        CHECK(reader.read_one_of(1500) == 1024); // nobody could know
        CHECK(reader.read_one_of(1500) == 1500);
        CHECK(reader.read_one_of(60'000) == 60'000);
        CHECK(reader.read_one_of(10) == 10); // small ones from now on
        CHECK(reader.read_one_of(1500) == 1024);
    }

    TEST_CASE("without anything to read it says so and reads on") {
        record_reader reader;
        CHECK(reader.carrier.pull(reader.into).would_block());
        CHECK(reader.read_one_of(3) == 3);
        reader.sockets.theirs.reset();
        const auto end = reader.carrier.pull(reader.into);
        CHECK((end.error == 0 && end.bytes == 0));
    }
}
