// SPDX-License-Identifier: MIT
#include <cluster/pool/process_pool.hpp>

#include "support/pool_program.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

enum class fate { value, abort, hang, exception };

fate fate_of(int number) {
    switch (number % 100) {
    case 13:
        return fate::abort;
    case 47:
        return fate::hang;
    case 81:
        return fate::exception;
    default:
        return fate::value;
    }
}

int meets_its_fate(int number) {
    switch (fate_of(number)) {
    case fate::abort:
        std::abort();
    case fate::hang:
        for (;;) {
            ::pause();
        }
    case fate::exception:
        throw std::runtime_error{std::to_string(number)};
    case fate::value:
        break;
    }
    return number + 1;
}

fate outcome_of(cluster::task_future<int>& task, int number) {
    try {
        const int value = task.get();
        CHECK(value == number + 1);
        return fate::value;
    } catch (const cluster::worker_crashed& error) {
        CHECK(error.signal() == SIGABRT);
        return fate::abort;
    } catch (const cluster::task_timeout&) {
        return fate::hang;
    } catch (const cluster::task_failed& error) {
        CHECK(error.type() == "std::runtime_error");
        CHECK(std::string{error.what()} == std::to_string(number));
        return fate::exception;
    }
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator listing{"/proc/self/fd"};
    return static_cast<std::size_t>(std::distance(begin(listing), end(listing)));
}

bool maps_shared_memory() {
    std::ifstream maps{"/proc/self/maps"};
    const std::string text{std::istreambuf_iterator<char>{maps}, {}};
    return text.find("memfd:cluster") != std::string::npos;
}

} // namespace

TEST_SUITE("pool/process_storm") {

    TEST_CASE("of many tasks each meets its own fate and nothing is left") {
        constexpr int count = 10'000;
        const std::size_t before = open_descriptors();
        {
            cluster::process_pool pool{pool_test::argc, pool_test::argv, {.workers = 4}};
            std::vector<cluster::task_future<int>> tasks;
            for (int i = 0; i != count; ++i) {
                const auto timeout = fate_of(i) == fate::hang ? 20ms : 0ms; // no other may be late
                tasks.push_back(pool.submit<meets_its_fate>({.timeout = timeout}, i));
            }
            int wrong = 0;
            for (int i = 0; i != count; ++i) {
                wrong += outcome_of(tasks[static_cast<std::size_t>(i)], i) != fate_of(i) ? 1 : 0;
            }
            CHECK(wrong == 0);
            const auto stats = pool.stats();
            CHECK(stats.crashed == static_cast<std::uint64_t>(count / 100));
            CHECK(stats.timed_out == static_cast<std::uint64_t>(count / 100));
            CHECK(stats.failed == static_cast<std::uint64_t>(count / 100));
        }
        CHECK(open_descriptors() == before);
        CHECK_FALSE(maps_shared_memory());
        CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
        CHECK(errno == ECHILD);
    }

} // TEST_SUITE
