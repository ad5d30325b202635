// SPDX-License-Identifier: MIT
// Node.js's tests of the messages of child_process.fork(), by their names; see README.md.
#include <cluster.hpp>

#include "../support/child_test.hpp"
#include "../support/raw_socket.hpp"
#include "../support/talk.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <cstddef>
#include <map>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using cluster::child_program;
using cluster::errc;
using cluster::exit_status;
using cluster::fork_program;
using cluster::handle;
using cluster::send_result;
using cluster_test::journal;
using cluster_test::patient_loop;
using cluster_test::talk;
namespace event = cluster::event;

/// What comes back of a message, bit for bit.
template <typename Message>
Message echo_of(const Message& message) {
    patient_loop loop;
    Message back{};
    auto one = fork_program(loop, talk({"echo"}));
    one.send(message);
    one.on_message([&](const Message& text) {
        if constexpr (std::is_same_v<Message, std::string>) {
            if (text == "up") {
                return;
            }
        }
        back = text;
        one.disconnect();
    });
    loop.run();
    CHECK(one.status().success());
    return back;
}

} // namespace

TEST_SUITE("child/node_messages") {
    TEST_CASE("test-child-process-send-cb") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"echo"}));
        auto note = [&](std::error_code how) { seen.push_back(how ? how.message() : "sent"); };
        one.send("hello", note);
        CHECK(seen.empty()); // not before the loop runs
        one.on_message([&](const std::string& text) {
            if (text == "hello") {
                one.disconnect();
            }
        });
        one.on(event::exit, [&] { one.send("late", note); });
        loop.run();
        CHECK(seen == journal{"sent", cluster::make_error_code(errc::channel_closed).message()});
    }

    TEST_CASE("test-child-process-send-returns-boolean") { // and says when to go on
        patient_loop loop;
        auto one = fork_program(loop, talk({"echo"}));
        CHECK(one.send(1) == send_result::ok);
        CHECK(one.send(2) == send_result::ok);
        std::string chunk(64 * 1024, 'x');
        auto last = send_result::ok;
        int sent = 0;
        while (last == send_result::ok) {
            last = one.send(chunk);
            ++sent;
        }
        CHECK(last == send_result::queued); // and sent all the same
        CHECK(one.send(chunk) == send_result::queued);
        ++sent;
        bool drained = false;
        int back = 0;
        one.on(event::drain, [&] {
            drained = true;
            CHECK(one.send(3) == send_result::ok);
        });
        one.on_message([&](const std::string& text) {
            back += text == "up" ? 0 : 1;
            if (back == sent && drained) {
                one.disconnect();
                CHECK(one.send(4) != send_result::queued);
            }
        });
        loop.run();
        CHECK(drained);
        CHECK(back == sent);
        CHECK(one.send(5) == send_result::closed);
    }

    TEST_CASE("test-child-process-send-keep-open") { // both sides keep the connection and write
        patient_loop loop;
        auto pair = raw::tcp_pair();
        cluster::connection kept{std::move(pair.ours)};
        auto one = fork_program(loop, talk({"serve"}));
        one.on_message([&](const std::string& text) {
            if (text == "up") {
                one.send("child", handle{kept.duplicate()});
            } else if (text == "served") {
                raw::send_some(kept.native_handle(), "parent");
                kept = {};
                one.disconnect();
            }
        });
        loop.run();
        CHECK(raw::readable(pair.theirs.get(), 60'000));
        CHECK(raw::read_some(pair.theirs.get()) == "childparent");
    }

    TEST_CASE("test-child-process-send-after-close") {
        patient_loop loop;
        auto one = fork_program(loop, talk({}));
        loop.run();
        std::error_code why;
        CHECK_FALSE(one.is_connected());
        CHECK(one.send("ping", [&](std::error_code how) { why = how; }) == send_result::closed);
        CHECK(one.send("ping") == send_result::closed);
        loop.run();
        CHECK(why == errc::channel_closed);
    }

    TEST_CASE("test-child-process-send-type-error") { // types are the compiler's; sizes are not
        patient_loop loop;
        auto one = fork_program(loop, talk({"echo"}));
        const std::string huge(65 * 1024 * 1024, 'x');
        CHECK_THROWS_AS(one.send(huge), std::system_error);
        one.on_message([&](const std::string& text) { // and nothing of it was sent
            CHECK(text == "up");
            one.disconnect();
        });
        loop.run();
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-send-utf8") {
        std::string text;
        for (int i = 0; i != 400'000; ++i) {
            text += "ßßßß";
        }
        CHECK(echo_of(text) == text);
    }

    TEST_CASE("test-child-process-internal") { // no message is ours by what is in it
        CHECK(echo_of(std::string{"NODE_foo"}) == "NODE_foo");
        CHECK(echo_of(std::string{"CLUSTER_foo"}) == "CLUSTER_foo");
        CHECK(echo_of(std::string{}).empty());
    }

    TEST_CASE("test-child-process-ipc-next-tick") { // ten handlers that throw lose no message
        patient_loop loop;
        std::string last;
        auto one = fork_program(loop, talk({"throwing"}));
        one.on_message([&](const std::string& text) {
            last = text;
            for (int i = 0; text == "up" && i != 10; ++i) {
                one.send(i);
            }
            if (text == "10 thrown") {
                one.disconnect();
            }
        });
        loop.run();
        CHECK(last == "10 thrown");
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-recv-handle") { // one, two with a handle, three, in one go
        patient_loop loop;
        journal seen;
        auto pair = raw::unix_pair();
        auto one = fork_program(loop, talk({"echo"}));
        one.send("one");
        one.send("two", handle{std::move(pair.ours)});
        one.send("three");
        one.on_message([&](const std::string& text, handle passed) {
            seen.push_back(text + (passed ? " with" : ""));
            if (passed) {
                raw::send_some(passed.native_handle(), "still the same");
            }
            if (text == "three") {
                one.disconnect();
            }
        });
        loop.run();
        CHECK(seen == journal{"up", "one", "two with", "three"});
        CHECK(raw::read_some(pair.theirs.get()) == "still the same");
    }

    TEST_CASE("test-child-process-disconnect") {
        patient_loop loop;
        journal seen;
        auto one = fork_program(loop, talk({"echo"}));
        CHECK(one.is_connected());
        one.on_message([&](const std::string&) {
            one.disconnect();
            CHECK_FALSE(one.is_connected());
            one.disconnect();    // Node: an error; here once is enough
            CHECK(seen.empty()); // not from inside
        });
        one.on(event::disconnect, [&] { seen.emplace_back("disconnect"); });
        one.on(event::exit, [&] { seen.emplace_back("exit"); });
        loop.run();
        CHECK(seen == journal{"disconnect", "exit"});
        CHECK(one.status().success());
    }

    TEST_CASE("test-child-process-pass-fd") { // a socket to each of 80 children
        patient_loop loop;
        std::vector<child_program> all;
        std::vector<cluster::unique_fd> peers;
        auto before = raw::open_descriptors();
        for (int i = 0; i != 80; ++i) {
            auto pair = raw::unix_pair();
            peers.push_back(std::move(pair.theirs));
            all.push_back(fork_program(loop, talk({"serve"})));
            all.back().send("for " + std::to_string(i), handle{std::move(pair.ours)});
            all.back().on_message([](auto& from, const std::string& text) {
                if (text == "served") {
                    from.disconnect();
                }
            });
        }
        loop.run();
        for (int i = 0; i != 80; ++i) {
            bool end = false;
            CHECK(raw::read_some(peers[static_cast<std::size_t>(i)].get(), &end) ==
                  "for " + std::to_string(i));
            CHECK(end);
            CHECK(all[static_cast<std::size_t>(i)].status().success());
        }
        all.clear();
        peers.clear();
        loop.run();
        CHECK(raw::open_descriptors() <= before);
    }

    TEST_CASE("test-child-process-advanced-serialization") {
        std::map<std::string, std::vector<double>> all{
            {"", {}}, {"one", {1.5, -0.0, 1e300}}, {"ü", std::vector<double>(1000, 0.25)}};
        CHECK(echo_of(all) == all);
    }

    TEST_CASE("test-child-process-advanced-serialization-largebuffer") {
        const std::string large(20 * 1024 * 1024, '\xfe');
        CHECK(echo_of(large) == large);
    }

    TEST_CASE("test-child-process-advanced-serialization-splitted-length-field") {
        patient_loop loop;
        std::string got;
        auto one = fork_program(loop, talk({"split"}));
        one.on_message([&](const std::string& text) { got = text; });
        loop.run();
        CHECK(got == "in small pieces");
    }

    TEST_CASE("test-child-process-fork-advanced-header-serialization") { // lengths that are lies
        for (const char* length : {"1", "0x7fffffff", "0x80000000", "0x80000001", "0xffffffff"}) {
            patient_loop loop;
            bool refused = false;
            auto one = fork_program(loop, talk({"raw", length}));
            one.on(event::error,
                   [&](const std::error_code& why) { refused = why == errc::message_too_large; });
            one.on(event::unhandled_message, [&] { one.disconnect(); });
            loop.run();
            CHECK(refused == (std::string{length} != "1"));
            CHECK(one.status().success());
        }
    }
}
