// SPDX-License-Identifier: MIT
// What README.md and .github/docs/messages.md show.
#include <cluster.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace docs_messages {

// [messages]
struct config {
    std::string name;
    std::uint16_t port = 0;
};
struct ready {
    int pid = 0;
};
struct square {
    int of = 0;
};
// [/messages]
struct take_this {};
struct job {
    int number = 0;
};
struct headline {
    std::string text;
};
struct price {
    int cents = 0;
};

template <typename Primary>
void talk_in_primary(Primary& primary) {
    auto& worker = primary.fork();
    // [in the primary]
    primary.on_message([](auto& from, const ready& message) {
        std::printf("worker %u is ready, pid %d\n", from.id(), message.pid);
    });
    worker.send(config{.name = "api", .port = 3000});
    worker.template request<int>(square{.of = 12}, [](cluster::result<int> answer) {
        std::printf("%d\n", answer.value_or(-1)); // 144; -1 if the worker has died meanwhile
    });
    // [/in the primary]
}

template <typename Self>
void talk_in_worker(Self& self) {
    // [in the worker]
    self.on_request([](const square& task) { return task.of * task.of; });
    self.on_message([&self](const config& settings) {
        self.send(ready{.pid = self.pid()});
        std::printf("I am %s\n", settings.name.c_str());
    });
    // [/in the worker]
}

template <typename Primary>
void open_channel(Primary& primary) {
    using namespace std::chrono_literals;
    auto& worker = primary.fork();
    // [message channel]
    auto [mine, theirs] = cluster::message_channel<job>::create();
    worker.send(take_this{}, std::move(theirs)); // a worker: self.send_to(id, …)
    cluster::message_port<job> port{primary.loop(), std::move(mine)};
    port.send(job{1});
    if (auto answer = port.receive(100ms)) { // or port.on_message(…), port.on_close(…)
        std::printf("job %d is done\n", answer->number);
    }
    // [/message channel]
}

template <typename Self>
void take_end(Self& self) {
    // [taken end]
    self.on_message([&self](const take_this&, cluster::handle end) {
        auto port = std::make_shared<cluster::message_port<job>>(self.loop(), std::move(end));
        port->on_message([port](const job& next) { port->send(next); });
    });
    // [/taken end]
}

template <typename Role>
void take_part(Role& self) {
    // [broadcast channel]
    auto news = self.template broadcast_channel<headline>("news"); // the same in the primary
    news.on_message([](const headline& latest) { std::puts(latest.text.c_str()); });
    news.post(headline{"hello, all others"});
    // [/broadcast channel]
}

template <typename Role>
void share(Role& self) {
    // [shared memory]
    auto hits = self.template shared<std::atomic<int>>("hits", 4); // an array: the same everywhere
    hits[0].fetch_add(1);
    cluster::wait(hits[1], 0); // until somebody changes it and calls cluster::notify_one(hits[1])

    using text = cluster::fixed_string<32>;
    auto prices = self.template shared_map<text, price>("prices", 10'000);
    prices.insert_or_assign("apple", price{120}); // and find(), update(), upsert(), erase()

    auto requests = self.shared_counters("metrics", 100)["requests"];
    requests.add();
    // [/shared memory]
}

template <typename Self>
void receive_datagrams(Self& self) {
    // [datagrams]
    auto& socket = self.bind({.port = 5353}); // all workers share it; the primary keeps it
    socket.on_message([&](std::span<const std::byte> bytes, const cluster::address& from) {
        socket.send_to(bytes, from);
    });
    // [/datagrams]
}

int run(int argc, char** argv) {
    cluster::process_cluster app{argc, argv};
    return app.run(
        [](auto& primary) {
            talk_in_primary(primary);
            open_channel(primary);
            take_part(primary);
            share(primary);
        },
        [](auto& self) {
            talk_in_worker(self);
            take_end(self);
            take_part(self);
            share(self);
            receive_datagrams(self);
        });
}

} // namespace docs_messages
