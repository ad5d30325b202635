// SPDX-License-Identifier: MIT
// A process is killed at one instruction after the other of each operation on a shared map.
#include <cluster/shared_memory/shared_map.hpp>

#include "../fixtures/table_values.hpp"
#include "../support/full_size.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <system_error>

#include <spawn.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using fixture::consistent;
using map_type = cluster::shared_map<std::uint32_t, consistent>;
using cluster::map_result;

constexpr std::uint32_t keys = 10; // 0 to 9 are there, each with its own number as the value

/// The fixture, stopped before its operation.
class traced_writer {
public:
    traced_writer(const char* operation, int memory) {
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, memory, fixture::map_descriptor);
        std::string name = FIXTURE_MAP_WRITER;
        std::string what = operation;
        char* arguments[] = {name.data(), what.data(), nullptr};
        REQUIRE(::posix_spawn(&pid_, name.c_str(), &actions, nullptr, arguments, environ) == 0);
        ::posix_spawn_file_actions_destroy(&actions);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        stopped_ = WIFSTOPPED(status);
        permitted_ = stopped_ || WEXITSTATUS(status) == 77;
        REQUIRE((stopped_ || permitted_));
    }
    traced_writer(traced_writer&&) = delete;
    ~traced_writer() {
        if (stopped_) {
            kill();
            ::waitpid(pid_, nullptr, 0);
        }
    }

    [[nodiscard]] bool can_be_traced() const { return stopped_; }

    /// \returns false when the operation is over.
    bool step() {
        int status = 0;
        return ::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr) == 0 &&
               ::waitpid(pid_, &status, 0) == pid_ && WIFSTOPPED(status) &&
               WSTOPSIG(status) == SIGTRAP;
    }
    /// It is dead then, and not waited for.
    void kill() {
        ::kill(pid_, SIGKILL);
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }

private:
    pid_t pid_ = -1;
    bool stopped_ = false;
    bool permitted_ = false;
};

struct fresh_map {
    cluster::unique_fd memory;
    map_type map;

    fresh_map() {
        std::error_code error;
        auto region = cluster::detail::shared_region::create(
            static_cast<std::size_t>(map_type::bytes(fixture::map_capacity)), memory, error);
        REQUIRE(!error);
        map = map_type{region, fixture::map_capacity};
        for (std::uint32_t i = 0; i != keys; ++i) {
            map.insert_or_assign(i, consistent::of(i));
        }
    }
};

std::optional<std::uint64_t> number_at(const map_type& map, std::uint32_t key) {
    auto found = map.find(key);
    CHECK((!found || found->ok()));
    return found ? std::optional{found->number()} : std::nullopt;
}

void check_readable(const map_type& map, std::uint32_t touched) {
    for (std::uint32_t i = 0; i != keys; ++i) {
        if (i != touched) {
            CHECK(number_at(map, i) == i);
        }
    }
    std::size_t count = 0;
    map.for_each([&](std::uint32_t, const consistent& each) {
        CHECK(each.ok());
        ++count;
    });
    CHECK((count >= keys - 1 && count <= keys + 1));
}

void check_writable(map_type& map) {
    CHECK(map.insert_or_assign(60, consistent::of(60)) == map_result::inserted);
    CHECK(map.erase(60));
    for (std::uint32_t i = 0; i != keys; ++i) {
        CHECK(map.insert_or_assign(i, consistent::of(i + 1000)) != map_result::full);
        CHECK(number_at(map, i) == i + 1000);
    }
    std::size_t count = 0;
    map.for_each([&](std::uint32_t, const consistent&) { ++count; });
    CHECK(map.size() == count);
}

struct operation {
    const char* name;
    std::uint32_t touched;
    std::optional<std::uint64_t> before;
    std::optional<std::uint64_t> after;
};

/// After how many instructions to kill: all over the operation, and close together where others
/// begin to see it.
std::set<std::size_t> kill_points(const operation& what) {
    fresh_map fresh;
    traced_writer writer{what.name, fresh.memory.get()};
    std::size_t all = 0;
    std::size_t seen = 0;
    while (writer.can_be_traced() && writer.step()) {
        ++all;
        if (seen == 0 && number_at(fresh.map, what.touched) == what.after) {
            seen = all;
        }
    }
    std::set<std::size_t> points;
    const std::size_t rounds = cluster_test::sized<std::size_t>(8, 2000);
    for (std::size_t i = 0; all != 0 && i != rounds; ++i) {
        points.insert((i + 1) * all / rounds);
    }
    CHECK((all == 0 || seen > 10));
    for (std::size_t i = 0; all != 0 && i != 14; ++i) {
        points.insert(seen - 10 + 4 * i);
    }
    return points;
}

void kill_at_every_part_of(const operation& what) {
    std::size_t done = 0;
    auto points = kill_points(what);
    for (std::size_t last : points) {
        fresh_map fresh;
        traced_writer writer{what.name, fresh.memory.get()};
        for (std::size_t i = 0; i != last; ++i) {
            writer.step();
        }
        writer.kill();
        CAPTURE(what.name);
        CAPTURE(last);
        auto now = number_at(fresh.map, what.touched);
        CHECK((now == what.before || now == what.after));
        done += now == what.after ? 1U : 0U;
        check_readable(fresh.map, what.touched);
        check_writable(fresh.map);
    }
    CHECK((points.empty() || (done > 0 && done < points.size())));
}

} // namespace

TEST_CASE("a process that dies at any instruction of an insertion leaves the map whole") {
    kill_at_every_part_of({"insert", 50, std::nullopt, 500});
}

TEST_CASE("a process that dies at any instruction of an assignment leaves the map whole") {
    kill_at_every_part_of({"assign", 3, 3, 500});
}

TEST_CASE("a process that dies at any instruction of an erasure leaves the map whole") {
    kill_at_every_part_of({"erase", 3, 3, std::nullopt});
}

TEST_CASE("a process that dies at any instruction of an update leaves the map whole") {
    kill_at_every_part_of({"update", 3, 3, 500});
}
