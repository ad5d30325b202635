// SPDX-License-Identifier: MIT
#include <cluster/service_notifier.hpp> // first and alone: proves the header is self-contained

#include "support/service_manager.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace {

using cluster::service_notifier;
using cluster_test::abstract_name;
using cluster_test::service_manager;
using cluster_test::temporary_directory;

/// The variables of a service manager for as long as it lives; null: not there.
struct told_by_environment {
    told_by_environment(const char* socket,
                        const char* timeout = nullptr,
                        const char* pid = nullptr) {
        set("NOTIFY_SOCKET", socket);
        set("WATCHDOG_USEC", timeout);
        set("WATCHDOG_PID", pid);
    }
    ~told_by_environment() {
        for (const char* each : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
            ::unsetenv(each);
        }
    }
    told_by_environment(told_by_environment&&) = delete;

private:
    static void set(const char* name, const char* value) {
        value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
    }
};

bool is_set(const char* name) {
    return std::getenv(name) != nullptr;
}

std::error_code error_of(const std::string& address) {
    std::error_code error;
    service_notifier made{address, error};
    CHECK(static_cast<bool>(made) == !error);
    return error;
}

std::string complaint(const char* socket, const char* timeout) {
    told_by_environment told{socket, timeout};
    try {
        static_cast<void>(service_notifier::from_environment());
    } catch (const std::system_error& error) {
        return error.what();
    }
    return {};
}

} // namespace

TEST_SUITE("service_notifier") {
    TEST_CASE("without a manager every call succeeds and does nothing") {
        told_by_environment told{nullptr, "1000000"};
        service_notifier nobody;
        auto from_environment = service_notifier::from_environment();
        for (auto* each : {&nobody, &from_environment}) {
            CHECK_FALSE(*each);
            CHECK_FALSE(each->notify("READY=1"));
            CHECK(each->watchdog_timeout().count() == 0);
            CHECK(each->native_handle() == -1);
        }
        told_by_environment empty{""};
        CHECK_FALSE(service_notifier::from_environment());
    }

    TEST_CASE("what is told arrives in order at a path and at an abstract name") {
        temporary_directory directory;
        for (const auto& address : {directory / "notify", abstract_name()}) {
            service_manager manager{address};
            REQUIRE(manager.is_bound());
            told_by_environment told{address.c_str()};
            auto notifier = service_notifier::from_environment();
            REQUIRE(notifier);
            CHECK_FALSE(notifier.notify("READY=1\nSTATUS=two lines"));
            auto moved = std::move(notifier);
            CHECK_FALSE(moved.notify("STOPPING=1"));
            CHECK(manager.next() == "READY=1\nSTATUS=two lines");
            CHECK(manager.next() == "STOPPING=1");
            CHECK(manager.next().empty());
        }
    }

    TEST_CASE("the variables are taken out of the environment") {
        auto address = abstract_name();
        told_by_environment told{address.c_str(), "1000000", "1"};
        CHECK(service_notifier::from_environment());
        CHECK_FALSE(is_set("NOTIFY_SOCKET"));
        CHECK_FALSE(is_set("WATCHDOG_USEC"));
        CHECK_FALSE(is_set("WATCHDOG_PID"));
    }

    TEST_CASE("the watchdog is for the process that it names") {
        auto address = abstract_name();
        auto timeout = [&](const char* text, const std::string& pid) {
            told_by_environment told{address.c_str(), text, pid.empty() ? nullptr : pid.c_str()};
            return service_notifier::from_environment().watchdog_timeout();
        };
        using namespace std::chrono_literals;
        CHECK(timeout(nullptr, "") == 0us);
        CHECK(timeout("30000000", "") == 30s);
        CHECK(timeout("30000000", std::to_string(::getpid())) == 30s);
        CHECK(timeout("30000000", std::to_string(::getpid() + 1)) == 0us);
        CHECK(timeout("nonsense", std::to_string(::getpid() + 1)) == 0us);
        CHECK(timeout("30000000", "x") == 0us);
    }

    TEST_CASE("an address that is none is told at once") {
        CHECK(error_of("/" + std::string(106, 'x')) == std::error_code{});
        CHECK(error_of("@" + std::string(106, 'x')) == std::error_code{});
        CHECK(error_of("/" + std::string(107, 'x')) == std::errc::invalid_argument);
        CHECK(error_of("/") == std::errc::invalid_argument);
        CHECK(error_of("@") == std::errc::invalid_argument);
        for (const char* each : {"", "notify", "./notify", "vsock:2:1234"}) {
            CHECK(error_of(each) == std::errc::address_family_not_supported);
        }
        CHECK_THROWS_WITH_AS(service_notifier{"nowhere"},
                             "notify socket 'nowhere': Address family not supported by protocol",
                             std::system_error);
    }

    TEST_CASE("a variable that makes no sense is named") {
        CHECK(complaint("run/notify", nullptr) ==
              "NOTIFY_SOCKET=run/notify: Address family not supported by protocol");
        for (std::string text : {"", "0", "-1", "1s", "99999999999999999999"}) {
            CHECK(complaint("@x", text.c_str()) == "WATCHDOG_USEC=" + text + ": Invalid argument");
        }
        told_by_environment told{"@x", "1s"};
        std::error_code error;
        CHECK_FALSE(service_notifier::from_environment(error));
        CHECK(error == std::errc::invalid_argument);
        CHECK_FALSE(is_set("NOTIFY_SOCKET"));
    }

    TEST_CASE("a manager that does not read lets nobody wait") {
        auto address = abstract_name();
        service_manager manager{address};
        service_notifier notifier{address};
        std::size_t sent = 0;
        std::error_code error;
        while (!(error = notifier.notify("STATUS=" + std::to_string(sent)))) {
            REQUIRE(++sent < 1'000'000);
        }
        CHECK(error == cluster::errc::would_block);
        CHECK_FALSE(cluster::detail::os::wait_for(notifier.native_handle(), true, 0));
        CHECK(manager.next() == "STATUS=0");
        CHECK(cluster::detail::os::wait_for(notifier.native_handle(), true, 1000));
        CHECK_FALSE(notifier.notify("STATUS=again"));
        CHECK(manager.all().back() == "STATUS=again");
    }

    TEST_CASE("a manager that is gone or not there yet is an error of the call alone") {
        temporary_directory directory;
        auto address = directory / "notify";
        service_notifier notifier{address};
        CHECK(notifier.notify("READY=1") == std::errc::no_such_file_or_directory);
        {
            service_manager first{address};
            CHECK_FALSE(notifier.notify("STATUS=1"));
            CHECK(first.next() == "STATUS=1");
        }
        CHECK(notifier.notify("STATUS=2") == std::errc::connection_refused);
        ::unlink(address.c_str());
        CHECK(notifier.notify("STATUS=3") == std::errc::no_such_file_or_directory);
        service_manager second{address};
        CHECK_FALSE(notifier.notify("STATUS=4"));
        CHECK(second.next() == "STATUS=4");
    }

    TEST_CASE("a manager that was started again at the same place is found") {
        auto address = abstract_name();
        service_notifier notifier{address};
        for (int i = 0; i != 3; ++i) {
            service_manager manager{address};
            REQUIRE(manager.is_bound());
            CHECK_FALSE(notifier.notify("STATUS=here"));
            CHECK(manager.next() == "STATUS=here");
        }
    }

    TEST_CASE("what is longer than a manager reads is not sent") {
        auto address = abstract_name();
        service_manager manager{address};
        service_notifier notifier{address};
        std::string text = "STATUS=" + std::string(service_notifier::max_size, 'x');
        CHECK(notifier.notify(text) == cluster::errc::message_too_large);
        text.resize(service_notifier::max_size);
        CHECK_FALSE(notifier.notify(text));
        CHECK(manager.next() == text);
    }
}
