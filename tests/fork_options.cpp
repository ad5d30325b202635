// SPDX-License-Identifier: MIT
#include <cluster/fork_options.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace {

using cluster::fork_options;
using cluster::stdio;
using cluster::detail::merge;

/// Options in which nothing is at its default.
fork_options full(const std::string& mark, int number) {
    fork_options all;
    all.executable = "/bin/" + mark;
    all.arguments = {mark, "argument"};
    all.environment = {{mark, mark}, {"SHARED", mark}};
    all.directory = "/" + mark;
    all.name = mark;
    all.silent = number == 1;
    all.standard_input = stdio::descriptor(number);
    all.standard_output = stdio::descriptor(number + 10);
    all.standard_error = stdio::descriptor(number + 20);
    all.extra = {stdio::descriptor(number + 30)};
    all.user = static_cast<unsigned>(number);
    all.group = static_cast<unsigned>(number + 1);
    all.limits = {{number, 1, 2}};
    all.nice = number;
    all.umask = static_cast<unsigned>(number + 2);
    all.cpus = {number};
    all.no_new_privileges = number == 1;
    all.detached = number == 1;
    return all;
}

void is_like(const fork_options& one, const fork_options& other) {
    CHECK(one.executable == other.executable);
    CHECK(one.arguments == other.arguments);
    CHECK(one.directory == other.directory);
    CHECK(one.name == other.name);
    CHECK(one.silent == other.silent);
    CHECK((one.standard_input == other.standard_input));
    CHECK((one.standard_output == other.standard_output));
    CHECK((one.standard_error == other.standard_error));
    CHECK((one.extra == other.extra));
    CHECK(one.user == other.user);
    CHECK(one.group == other.group);
    REQUIRE(one.limits.size() == other.limits.size());
    for (std::size_t i = 0; i != one.limits.size(); ++i) {
        CHECK(one.limits[i].which == other.limits[i].which);
    }
    CHECK(one.nice == other.nice);
    CHECK(one.umask == other.umask);
    CHECK(one.cpus == other.cpus);
    CHECK(one.no_new_privileges == other.no_new_privileges);
    CHECK(one.detached == other.detached);
}

std::string names(const fork_options& of) {
    std::string result;
    for (const auto& each : of.environment) {
        result += each.name + '=' + each.value.value_or("-") + ' ';
    }
    return result;
}

} // namespace

TEST_SUITE("fork_options") {
    TEST_CASE("what a descriptor becomes is a value") {
        CHECK(stdio::inherit != stdio::ignore);
        CHECK(stdio::pipe != stdio::ignore);
        CHECK_FALSE(stdio::pipe.is_descriptor());
        CHECK(stdio::descriptor(0).is_descriptor());
        CHECK(stdio::descriptor(5).descriptor() == 5);
        CHECK(stdio::descriptor(5) == stdio::descriptor(5));
        CHECK_FALSE(stdio::descriptor(-1).is_descriptor());
    }

    TEST_CASE("what is left at its default is taken from the settings") {
        auto settings = full("a", 1);
        auto merged = merge(settings, {});
        is_like(merged, settings);
        CHECK(names(merged) == names(settings));
    }

    TEST_CASE("what is given wins over the settings, also when it says no or zero") {
        auto options = full("b", 0);
        auto merged = merge(full("a", 1), options);
        is_like(merged, options);
        CHECK(merged.silent == false);
        CHECK(merged.nice == 0);
        CHECK(merged.user == 0U);
    }

    TEST_CASE("nothing on top of nothing is nothing") {
        is_like(merge({}, {}), {});
        is_like(merge({}, full("a", 1)), full("a", 1));
    }

    TEST_CASE("variables add up, the later one is behind") {
        CHECK(names(merge(full("a", 1), full("b", 0))) == "a=a SHARED=a b=b SHARED=b ");
        fork_options removing;
        removing.environment = {{"a", std::nullopt}};
        CHECK(names(merge(full("a", 1), removing)) == "a=a SHARED=a a=- ");
    }

    TEST_CASE("what a process is started with makes a difference and what it is told later none") {
        using cluster::detail::starts_alike;
        const fork_options one = full("one", 1);
        CHECK(starts_alike(one, one));
        CHECK(starts_alike({}, {}));
        CHECK_FALSE(starts_alike(one, {}));
        fork_options other = one;
        other.name = "another";
        other.weight = 7;
        other.recycle = cluster::recycle_limits{};
        other.data = 7;
        CHECK(starts_alike(one, other));
        const auto differs = [&one](auto change) {
            fork_options changed = one;
            change(changed);
            return !starts_alike(one, changed) && !starts_alike(changed, one);
        };
        CHECK(differs([](auto& all) { all.executable = "/bin/other"; }));
        CHECK(differs([](auto& all) { all.arguments.clear(); }));
        CHECK(differs([](auto& all) { all.environment[0].value = "other"; }));
        CHECK(differs([](auto& all) { all.directory = "/"; }));
        CHECK(differs([](auto& all) { all.silent = !*all.silent; }));
        CHECK(differs([](auto& all) { all.standard_input = stdio::ignore; }));
        CHECK(differs([](auto& all) { all.standard_output = stdio::append_to("/file"); }));
        CHECK(differs([](auto& all) { all.standard_error.reset(); }));
        CHECK(differs([](auto& all) { all.extra.push_back(stdio::pipe); }));
        CHECK(differs([](auto& all) { all.user.reset(); }));
        CHECK(differs([](auto& all) { all.group = 0; }));
        CHECK(differs([](auto& all) { all.limits[0].hard = 3; }));
        CHECK(differs([](auto& all) { all.nice = -1; }));
        CHECK(differs([](auto& all) { all.umask = 0; }));
        CHECK(differs([](auto& all) { all.cpus = {0, 1}; }));
        CHECK(differs([](auto& all) { all.no_new_privileges.reset(); }));
        CHECK(differs([](auto& all) { all.detached.reset(); }));
        CHECK(differs([](auto& all) { all.outlive_primary = std::chrono::seconds{1}; }));
    }

    TEST_CASE("a program of its own and a file that is emptied are nothing to start early") {
        using cluster::detail::may_start_early;
        CHECK(may_start_early({}));
        CHECK_FALSE(may_start_early({.executable = "/bin/true"}));
        CHECK(may_start_early({.standard_input = stdio::read_from("/in"),
                               .standard_output = stdio::append_to("/out"),
                               .standard_error = stdio::pipe,
                               .extra = {stdio::ignore, stdio::descriptor(0)}}));
        CHECK_FALSE(may_start_early({.standard_output = stdio::write_to("/out")}));
        CHECK_FALSE(may_start_early({.extra = {stdio::pipe, stdio::write_to("/out")}}));
    }

    TEST_CASE("options are written by their names") {
        fork_options some{.arguments = {"--port", "80"}, .name = "front", .silent = true};
        CHECK(some.arguments.size() == 2);
        CHECK(some.name == "front");
        CHECK_FALSE(some.detached.has_value());
    }
}
