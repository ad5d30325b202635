// SPDX-License-Identifier: MIT
#include <cluster/channels/broadcast_channel.hpp> // first and alone: it is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <ostream> // doctest prints error codes
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using cluster::event_loop;
using cluster::send_result;
using cluster::detail::broadcast_hub;

template <typename T>
using channel_of = cluster::broadcast_channel<T>;

/// A role without workers.
struct lone_role {
    event_loop loop;
    std::shared_ptr<broadcast_hub> hub = std::make_shared<broadcast_hub>(loop);
    std::error_code error;

    template <typename T = std::string>
    channel_of<T> open(const std::string& name) {
        return {hub, name, error};
    }
};

} // namespace

TEST_SUITE("channels/broadcast_channel") {
    TEST_CASE("others of the same name and type get what is posted and the sender does not") {
        lone_role role;
        auto sender = role.open("news");
        auto same = role.open("news");
        auto other_name = role.open("old");
        auto other_type = role.open<int>("news");
        std::vector<std::string> got;
        sender.on_message([](const std::string&) { FAIL("that was its own"); });
        other_name.on_message([](const std::string&) { FAIL("that was for another name"); });
        other_type.on_message([](int) { FAIL("that was another type"); });
        same.on_message([&](const std::string& text) { got.push_back(text); });
        CHECK(sender.post("one") == send_result::ok);
        CHECK(sender.post("two") == send_result::ok);
        CHECK(got.empty()); // never from within
        role.loop.run();
        CHECK(got == std::vector<std::string>{"one", "two"});
        CHECK(same.name() == "news");
    }

    TEST_CASE("a channel that is closed or gone gets nothing and sends nothing") {
        lone_role role;
        auto sender = role.open("news");
        auto closed = role.open("news");
        closed.on_message([](const std::string&) { FAIL("it is closed"); });
        auto gone = std::make_unique<channel_of<std::string>>(role.open("news"));
        gone->on_message([](const std::string&) { FAIL("it is gone"); });
        sender.post("to nobody");
        closed.close();
        closed.close();
        gone.reset();
        role.loop.run();
        CHECK(closed.post("x") == send_result::closed);
        CHECK(closed.name().empty());
        CHECK(!closed.on_message([](const std::string&) {}).active());
    }

    TEST_CASE("a handler may close its channel and open others and post and throw") {
        lone_role role;
        auto sender = role.open("news");
        auto first = role.open("news");
        auto second = role.open("news");
        std::string log;
        channel_of<std::string> late;
        first.on_message([&](const std::string& text) {
            log += "first " + text + ' ';
            first.close();
            late = role.open("news");
            late.on_message([&](const std::string& more) { log += "late " + more + ' '; });
            throw std::runtime_error("oops");
        });
        second.on_message([&](const std::string& text) {
            log += "second " + text + ' ';
            if (text == "a") {
                second.post("b");
            }
        });
        sender.post("a");
        CHECK_THROWS_AS(role.loop.run(), std::runtime_error);
        role.loop.run();
        CHECK(log == "first a second a late b ");
    }

    TEST_CASE("a channel outlives its role and is closed then") {
        auto role = std::make_unique<lone_role>();
        auto kept = role->open("news");
        role.reset();
        CHECK(kept.post("x") == send_result::closed);
    }

    TEST_CASE("names are bounded") {
        lone_role role;
        CHECK(role.open("").name().empty());
        CHECK(role.error == std::errc::invalid_argument);
        CHECK(role.open("").post("x") == send_result::closed);
        CHECK(role.open(std::string(256, 'x')).name().empty());
        CHECK(role.error == std::errc::filename_too_long);
        std::vector<channel_of<std::string>> many;
        for (std::size_t i = 0; i != broadcast_hub::most_topics; ++i) {
            many.push_back(role.open(std::to_string(i)));
            REQUIRE(!role.error);
        }
        CHECK(role.open("one more").name().empty());
        CHECK(role.error == std::errc::no_space_on_device);
        CHECK(role.open("7").name() == "7");
        many.pop_back();
        CHECK(role.open("one more").name() == "one more");
    }
}
