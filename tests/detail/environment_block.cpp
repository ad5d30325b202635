// SPDX-License-Identifier: MIT
#include <cluster/detail/environment_block.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace {

using cluster::detail::environment_block;

/// A variable of this process for as long as it lives.
struct with_variable {
    std::string name;
    with_variable(std::string which, const char* value) : name{std::move(which)} {
        ::setenv(name.c_str(), value, 1);
    }
    ~with_variable() { ::unsetenv(name.c_str()); }
};

/// The variables of a block and how often each is there.
struct parsed {
    std::map<std::string, std::string> values;
    std::map<std::string, int> counts;

    explicit parsed(const environment_block& block) {
        for (auto* each = block.get(); *each != nullptr; ++each) {
            std::string_view entry{*each};
            auto name = std::string{entry.substr(0, entry.find('='))};
            values[name] = entry.substr(entry.find('=') + 1);
            ++counts[name];
        }
    }
};

} // namespace

TEST_SUITE("detail/environment_block") {
    TEST_CASE("the environment is the process's own with the changes") {
        with_variable kept{"CLUSTER_TEST_KEPT", "kept"};
        with_variable changed{"CLUSTER_TEST_CHANGED", "before"};
        with_variable removed{"CLUSTER_TEST_REMOVED", "x"};
        with_variable longer{"CLUSTER_TEST_CHANGED_LONGER", "stays"};
        environment_block block{
            {{"CLUSTER_TEST_CHANGED", "after"},
             {"CLUSTER_TEST_REMOVED", std::nullopt},
             {"CLUSTER_TEST_NEW", "a=b"},
             {"CLUSTER_TEST_EMPTY", ""},
             {"CLUSTER_TEST_UNKNOWN", std::nullopt}},
        };
        parsed is{block};
        CHECK(is.values["CLUSTER_TEST_KEPT"] == "kept");
        CHECK(is.values["CLUSTER_TEST_CHANGED"] == "after");
        CHECK(is.counts["CLUSTER_TEST_CHANGED"] == 1);
        CHECK(is.values["CLUSTER_TEST_CHANGED_LONGER"] == "stays");
        CHECK(is.counts["CLUSTER_TEST_REMOVED"] == 0);
        CHECK(is.values["CLUSTER_TEST_NEW"] == "a=b");
        CHECK(is.counts["CLUSTER_TEST_EMPTY"] == 1);
        CHECK(is.values["CLUSTER_TEST_EMPTY"].empty());
        CHECK(is.counts["CLUSTER_TEST_UNKNOWN"] == 0);
    }

    TEST_CASE("later changes win, also over the removal") {
        environment_block block{
            {{"CLUSTER_TEST_A", "1"},
             {"CLUSTER_TEST_A", "2"},
             {"CLUSTER_TEST_B", "1"},
             {"CLUSTER_TEST_B", std::nullopt},
             {"CLUSTER_TEST_C", std::nullopt},
             {"CLUSTER_TEST_C", "1"}},
        };
        parsed is{block};
        CHECK(is.values["CLUSTER_TEST_A"] == "2");
        CHECK(is.counts["CLUSTER_TEST_A"] == 1);
        CHECK(is.counts["CLUSTER_TEST_B"] == 0);
        CHECK(is.values["CLUSTER_TEST_C"] == "1");
    }

    TEST_CASE("without the process's own variables only the changes are there") {
        with_variable other{"CLUSTER_TEST_OTHER", "x"};
        environment_block block{{{"A", "1"}}, false};
        parsed is{block};
        CHECK(is.counts.size() == 1);
        CHECK(block.find("A") == "1");
        CHECK_FALSE(block.find("CLUSTER_TEST_OTHER").has_value());
    }

    TEST_CASE("what tells this process its role is nothing for its children") {
        with_variable role{"CLUSTER_WORKER", "1"};
        with_variable parent{"CLUSTER_PARENT", "3"};
        environment_block block{{}};
        CHECK_FALSE(block.find("CLUSTER_WORKER").has_value());
        CHECK_FALSE(block.find("CLUSTER_PARENT").has_value());
        block.set("CLUSTER_PARENT", "4");
        CHECK(block.find("CLUSTER_PARENT") == "4");
    }

    TEST_CASE("what the service manager told this process is nothing for its workers") {
        with_variable kept{"CLUSTER_TEST_KEPT", "kept"};
        with_variable socket{"NOTIFY_SOCKET", "/run/notify"};
        with_variable period{"WATCHDOG_USEC", "1000000"};
        with_variable pid{"WATCHDOG_PID", "1"};
        auto block = environment_block::for_worker({{"WATCHDOG_PID", "7"}});
        CHECK(block.find("CLUSTER_TEST_KEPT") == "kept");
        CHECK_FALSE(block.find("NOTIFY_SOCKET").has_value());
        CHECK_FALSE(block.find("WATCHDOG_USEC").has_value());
        CHECK(block.find("WATCHDOG_PID") == "7"); // asked for
        environment_block other{{}};
        CHECK(other.find("NOTIFY_SOCKET") == "/run/notify"); // a child that is no worker
    }
}
