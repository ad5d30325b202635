// SPDX-License-Identifier: MIT
// Channels between any two: their ends travel from worker to worker, and what is posted under a
// name reaches all others.
#include "../fixtures/scenario.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace cluster_test;
using namespace std::chrono_literals;

namespace {

struct take_end {
    std::uint32_t pass_on_to = 0; // 0: it is for you
};
struct number {
    std::uint32_t value = 0;
};
struct news {
    std::uint32_t from = 0;
    std::string text;
};
struct got {
    std::uint32_t count = 0;
    std::string text;
};
struct go {};

using numbers = cluster::message_channel<number>;
using number_port = cluster::message_port<number>;

// The worker gets one end and answers every number by the next one, until the primary closes.
template <typename Cluster>
void primary_and_worker(const char* name) {
    std::vector<std::uint32_t> answers;
    bool ended_well = false;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            auto [mine, theirs] = numbers::create();
            auto& worker = primary.fork();
            worker.send(take_end{}, std::move(theirs));
            auto port = std::make_shared<number_port>(primary.loop(), std::move(mine));
            port->on_message([&answers, weak = std::weak_ptr{port}](const number& answer) {
                answers.push_back(answer.value);
                auto link = weak.lock();
                answers.size() == 10 ? link->close() : void(link->send({answer.value + 1}));
            });
            port->on_close([port]() mutable { port.reset(); });
            port->send({0});
            primary.on(cluster::event::exit, [&](auto&, const cluster::exit_status& status) {
                ended_well = status.success();
            });
        },
        [](auto& self) {
            auto port = std::make_shared<number_port>();
            self.on_message([&self, port](const take_end&, cluster::handle end) {
                *port = number_port{self.loop(), std::move(end)};
                port->on_message([port](const number& asked) { port->send({asked.value + 1}); });
                port->on_close([&self] { self.disconnect(); });
            });
        });
    CHECK(answers == std::vector<std::uint32_t>{1, 3, 5, 7, 9, 11, 13, 15, 17, 19});
    CHECK(ended_well);
}

// Worker 2 gets an end that it passes on to worker 3, which talks to worker 1 then, and dies.
template <typename Cluster>
void worker_to_worker(const char* name, bool killed) {
    got said;
    run_case<Cluster>(
        name,
        [&, killed](auto& primary) {
            auto [one, other] = numbers::create();
            auto workers = primary.fork(3);
            workers[0].send(take_end{}, std::move(one));
            workers[1].send(take_end{workers[2].id()}, std::move(other));
            primary.on_message([&, killed](const got& message) {
                said = message;
                if (message.text.empty() && killed) {
                    if constexpr (Cluster::backend_type::separate_memory) {
                        primary.workers().find(3)->kill(SIGKILL);
                    }
                } else if (message.text.empty()) {
                    primary.workers().find(3)->disconnect();
                } else {
                    primary.disconnect();
                }
            });
        },
        [](auto& self) {
            auto port = std::make_shared<number_port>();
            self.on(cluster::event::disconnect, [port] { port->close(); });
            self.on_message([&self, port](const take_end& what, cluster::handle end) {
                if (what.pass_on_to != 0) {
                    self.send_to(what.pass_on_to, take_end{}, std::move(end));
                    return;
                }
                *port = number_port{self.loop(), std::move(end)};
                port->on_message([&self, port](const number& each) {
                    if (each.value < 100) {
                        port->send({each.value + 1});
                    } else if (self.id() == 1) {
                        self.send(got{each.value, ""});
                    }
                });
                port->on_close([&self] {
                    if (self.id() == 1 && self.is_connected()) {
                        self.send(got{0, "closed"});
                    }
                });
                if (self.id() == 1) {
                    port->send({1});
                }
            });
        });
    CHECK(said.text == "closed");
}

// Four workers and the primary post; each counts what it gets of whom.
template <typename Cluster>
void broadcast_to_all(const char* name) {
    constexpr std::uint32_t workers = 4;
    constexpr std::uint32_t posts = 50;
    std::map<std::uint32_t, std::string> heard; // by worker, what it got, in order
    std::map<std::uint32_t, std::uint32_t> primary_heard;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            using channel = cluster::broadcast_channel<news, typename Cluster::serializer_type>;
            auto mine = std::make_shared<channel>(primary.template broadcast_channel<news>("news"));
            mine->on_message([&](const news& each) { ++primary_heard[each.from]; });
            primary.on_message([&, mine, there = 0U](const go&) mutable {
                if (++there == workers) { // all take part
                    for (std::uint32_t i = 0; i != posts; ++i) {
                        CHECK(mine->post({0, std::to_string(i)}) == cluster::send_result::ok);
                    }
                    primary.broadcast(go{});
                }
            });
            primary.on_message([&, mine](auto& from, const got& all) {
                heard[from.id()] = all.text;
                CHECK(all.count == posts * workers); // of the primary and the three others
                if (heard.size() == workers) {
                    mine->close();
                    primary.disconnect();
                }
            });
            primary.fork(workers);
        },
        [](auto& self) {
            using channel = cluster::broadcast_channel<news, typename Cluster::serializer_type>;
            auto mine = std::make_shared<channel>(self.template broadcast_channel<news>("news"));
            auto count = std::make_shared<std::uint32_t>(0);
            auto order = std::make_shared<std::string>();
            mine->on_message([&self, count, order](const news& each) {
                *order += each.from == 0 ? each.text + ' ' : "";
                if (++*count == posts * workers) {
                    self.send(got{*count, *order});
                }
            });
            self.on_message([&self, mine](const go&) {
                for (std::uint32_t i = 0; i != posts; ++i) {
                    mine->post({self.id(), std::to_string(i)});
                }
            });
            self.send(go{});
        });
    std::string in_order;
    for (std::uint32_t i = 0; i != posts; ++i) {
        in_order += std::to_string(i) + ' ';
    }
    for (std::uint32_t id = 1; id != workers + 1; ++id) {
        CHECK(heard[id] == in_order);
        CHECK(primary_heard[id] == posts);
    }
    CHECK(primary_heard.size() == workers); // nothing of its own
}

// One that has left, and one that has died, get nothing; the rest goes on.
template <typename Cluster>
void broadcast_members_go(const char* name) {
    std::vector<std::string> heard;
    run_case<Cluster>(
        name,
        [&](auto& primary) {
            using channel = cluster::broadcast_channel<news, typename Cluster::serializer_type>;
            auto mine = std::make_shared<channel>(primary.template broadcast_channel<news>("news"));
            mine->on_message([&, mine](const news& each) {
                heard.push_back(std::to_string(each.from) + ' ' + each.text);
                if (each.text == "here" && heard.size() == 2) {
                    mine->post({0, "leave"});
                } else if (each.text == "last") {
                    primary.workers().find(1)->disconnect();
                } else if (each.text == "still here") {
                    primary.disconnect();
                }
            });
            primary.on(cluster::event::exit, [&, mine](auto& worker) {
                if (worker.id() == 1) {
                    mine->post({0, "anybody?"});
                } else {
                    mine->close();
                }
            });
            primary.fork(2);
        },
        [](auto& self) {
            using channel = cluster::broadcast_channel<news, typename Cluster::serializer_type>;
            auto mine = std::make_shared<channel>(self.template broadcast_channel<news>("news"));
            mine->on_message([&self, weak = std::weak_ptr{mine}](const news& each) {
                auto link = weak.lock();
                if (each.text == "leave" && self.id() == 1) {
                    link->post({self.id(), "last"});
                    link->close();
                    link->post({self.id(), "too late"});
                } else if (each.text == "anybody?") {
                    link->post({self.id(), "still here"});
                }
            });
            mine->post({self.id(), "here"});
            self.on_message([mine](const go&) {}); // keeps it
        });
    std::sort(heard.begin(), heard.end());
    CHECK(heard == std::vector<std::string>{"1 here", "1 last", "2 here", "2 still here"});
}

} // namespace

TEST_CASE("channels: the end of a message channel goes to a worker") {
    primary_and_worker<cluster::process_cluster>(
        "channels: the end of a message channel goes to a worker");
}

TEST_CASE("channels: an end goes from worker to worker and its closing is noticed") {
    worker_to_worker<cluster::process_cluster>(
        "channels: an end goes from worker to worker and its closing is noticed", false);
}

TEST_CASE("channels: an end closes when its worker is killed") {
    worker_to_worker<cluster::process_cluster>("channels: an end closes when its worker is killed",
                                               true);
}

TEST_CASE("channels: what one posts reaches four workers and the primary but not itself") {
    broadcast_to_all<cluster::process_cluster>(
        "channels: what one posts reaches four workers and the primary but not itself");
}

TEST_CASE("channels: who leaves a broadcast channel gets nothing more and the others do") {
    broadcast_members_go<cluster::process_cluster>(
        "channels: who leaves a broadcast channel gets nothing more and the others do");
}

TEST_CASE("channels: the end of a message channel goes to a thread") {
    primary_and_worker<cluster::thread_cluster>(
        "channels: the end of a message channel goes to a thread");
}

TEST_CASE("channels: an end goes from thread to thread and its closing is noticed") {
    worker_to_worker<cluster::thread_cluster>(
        "channels: an end goes from thread to thread and its closing is noticed", false);
}

TEST_CASE("channels: what one posts reaches four threads and the primary but not itself") {
    broadcast_to_all<cluster::thread_cluster>(
        "channels: what one posts reaches four threads and the primary but not itself");
}

TEST_CASE("channels: a thread that leaves a broadcast channel gets nothing more") {
    broadcast_members_go<cluster::thread_cluster>(
        "channels: a thread that leaves a broadcast channel gets nothing more");
}

TEST_CASE("channels: copies of the primary have them all") {
    broadcast_to_all<cluster::prefork_cluster>("channels: copies of the primary have them all");
}
