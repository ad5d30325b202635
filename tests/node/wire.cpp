// SPDX-License-Identifier: MIT
#include "../support/every_backend.hpp"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

using namespace cluster_test;
using namespace std::string_literals;

namespace {

struct part {
    std::string name;
    std::vector<part> parts;
    std::unique_ptr<part> next;
};

struct document {
    std::vector<std::byte> bytes;
    std::string text;
    std::map<std::string, std::vector<std::optional<double>>> table;
    std::variant<std::monostate, std::int64_t, std::string> value;
    part root;
    std::string empty;
};

bool same(const part& one, const part& other) {
    if (one.name != other.name || one.parts.size() != other.parts.size() ||
        static_cast<bool>(one.next) != static_cast<bool>(other.next)) {
        return false;
    }
    for (std::size_t i = 0; i != one.parts.size(); ++i) {
        if (!same(one.parts[i], other.parts[i])) {
            return false;
        }
    }
    return !one.next || same(*one.next, *other.next);
}

document make_document() {
    document made;
    for (int i = 0; i != 256; ++i) {
        made.bytes.push_back(static_cast<std::byte>(i));
    }
    made.text = "NUL \0, newline \n, UTF-8 \xe2\x82\xac"s;
    made.table = {{"", {}}, {"numbers", {1.5, std::nullopt, -0.0}}};
    made.value = std::int64_t{-1};
    made.root.name = "root";
    made.root.parts.resize(2);
    made.root.parts[1].name = "inner";
    made.root.parts[1].parts.resize(1);
    made.root.next = std::make_unique<part>();
    made.root.next->name = "next";
    return made;
}

struct question {
    int number;
};

struct answer {
    int number;
};

struct count_of_answers {
    int right = 0;
    int wrong = 0;
};

/// Stands where a handler of requests takes its responder, and answers more often than asked.
struct forger {
    cluster::detail::reply_path path;

    explicit forger(cluster::detail::reply_path to) : path{std::move(to)} {}

    void operator()(std::uint32_t sequence, int number) const {
        auto forged = path;
        forged.sequence = sequence;
        cluster::detail::send_reply<cluster::serialization::binary>(forged, answer{number});
    }
};

} // namespace

CLUSTER_CASE("test-cluster-advanced-serialization") {
    // An object that contains itself is no C++ value; the rest of what a structure can be.
    int echoed = 0;
    run_on<Backend>(
        [&](auto& primary) {
            auto& worker = primary.fork();
            worker.on(cluster::event::online, [&] { worker.send(make_document()); });
            worker.on_message([&](auto& from, const document& got) {
                ++echoed;
                auto sent = make_document();
                CHECK(got.bytes == sent.bytes);
                CHECK(got.text == sent.text);
                CHECK(got.table == sent.table);
                CHECK(got.value == sent.value);
                CHECK(same(got.root, sent.root));
                CHECK(got.empty.empty());
                from.disconnect();
            });
            worker.on(cluster::event::exit, [](const cluster::exit_status& status) {
                CHECK_MESSAGE(status.success(), status.to_string());
            });
        },
        [](auto& self) { self.on_message([](auto& me, const document& got) { me.send(got); }); });
    CHECK(echoed == 1);
}

CLUSTER_CASE("test-cluster-invalid-message") {
    struct end_of_worker {
        std::vector<std::error_code> errors;
        cluster::exit_status status;
        bool asked_for = false;
    };
    constexpr bool runs_programs = Backend::separate_memory; // that are no workers of ours
    std::map<std::string, end_of_worker> ends;
    std::vector<count_of_answers> counts;
    const std::vector<std::pair<std::string, cluster::errc>> violations{
        {"unknown kind", cluster::errc::bad_frame},
        {"wrong way", cluster::errc::bad_frame},
        {"hostile length", cluster::errc::message_too_large},
        {"no descriptor", cluster::errc::bad_frame},
        {"too many descriptors", cluster::errc::too_many_descriptors},
        {"not online", cluster::errc::bad_frame}};
    run_on<Backend>(
        [&](auto& primary) {
            // To the worker: answers that it has not asked for.
            primary.fork({.name = "honest"});
            primary.on_request([](auto&, const question& asked, forger reply) {
                auto sequence = reply.path.sequence;
                for (auto wrong : {std::uint32_t{0}, sequence + 1000, std::uint32_t{0xffffffff}}) {
                    reply(wrong, -1);
                }
                reply(sequence, asked.number);
                reply(sequence, -1);
            });
            // To the primary: by a program that is no worker of ours.
            auto start = [&primary](const std::string& what) {
                primary.fork({.executable = FIXTURE_RAW_WORKER, .arguments = {what}, .name = what});
            };
            if (runs_programs) {
                start("nonsense");
                start("half a header");
                for (const auto& each : violations) {
                    start(each.first);
                }
            }
            primary.on(cluster::event::online, [](auto& worker) {
                if (worker.name() == "nonsense") {
                    worker.disconnect();
                }
            });
            primary.on(cluster::event::error, [&](auto& worker, std::error_code error) {
                ends[worker.name()].errors.push_back(error);
            });
            primary.on(cluster::event::exit, [&](auto& worker, const cluster::exit_status& status) {
                auto& end = ends[worker.name()];
                end.status = status;
                end.asked_for = worker.exited_after_disconnect();
                if (primary.workers().size() == 1) { // all others are gone: ask it again
                    primary.workers()[0].send(question{2});
                }
            });
            primary.on_message([&](auto& worker, const count_of_answers& count) {
                counts.push_back(count);
                if (counts.size() == 2) {
                    worker.disconnect();
                } else if (!runs_programs) {
                    worker.send(question{2});
                }
            });
        },
        [](auto& self) {
            auto ask = [&self, count = std::make_shared<count_of_answers>()](int number) {
                self.template request<answer>(
                    question{number}, [number, &self, count](cluster::result<answer> got) {
                        ++(got && got->number == number ? count->right : count->wrong);
                        self.send(*count);
                    });
            };
            self.on_message([ask](const question& again) { ask(again.number); });
            ask(1);
        });
    REQUIRE(counts.size() == 2);
    CHECK(counts[1].right == 2);
    CHECK(counts[1].wrong == 0);
    auto check_healthy = [&](const std::string& name) {
        CAPTURE(name);
        CHECK(ends[name].errors.empty());
        CHECK_MESSAGE(ends[name].status.success(), ends[name].status.to_string());
        CHECK(ends[name].asked_for);
    };
    check_healthy("honest");
    if (!runs_programs) {
        return;
    }
    check_healthy("nonsense");
    CHECK(ends["half a header"].errors.empty());
    CHECK(ends["half a header"].status.success());
    CHECK_FALSE(ends["half a header"].asked_for);
    for (const auto& [name, error] : violations) {
        CAPTURE(name);
        REQUIRE(ends[name].errors.size() == 1);
        CHECK(ends[name].errors[0] == error);
        CHECK(ends[name].status.signal() == SIGKILL);
        CHECK_FALSE(ends[name].asked_for);
    }
}
