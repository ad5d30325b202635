// SPDX-License-Identifier: MIT
#include <cluster/ipc/socket_carrier.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include <sys/socket.h>
#include <sys/types.h>

namespace {

using namespace cluster::detail;
using cluster::unique_fd;

/// A carrier whose socket keeps records, of which a read that asks for less loses the rest: what it
/// gets shows for how much each read asks.
class record_reader {
    struct ends {
        unique_fd ours;
        unique_fd theirs;
    };
    static ends make() {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        return {unique_fd{ends[0]}, unique_fd{ends[1]}};
    }
    ends sockets_ = make();

public:
    unique_fd writer{std::move(sockets_.theirs)};
    socket_carrier carrier{std::move(sockets_.ours)};
    inbox into;

    std::size_t read_one_of(std::size_t size) {
        const std::string record(size, 'x');
        REQUIRE(::send(writer.get(), record.data(), size, 0) == static_cast<ssize_t>(size));
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
        reader.writer.reset();
        const auto end = reader.carrier.pull(reader.into);
        CHECK((end.error == 0 && end.bytes == 0));
    }
}
