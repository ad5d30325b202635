// SPDX-License-Identifier: MIT
// A chat over web sockets whose workers remember their clients: sticky<> brings each of them back
// to the same worker, whichever of its connections it is. Try it in a browser's console:
//   chat = new WebSocket("ws://localhost:8000"); chat.onmessage = m => console.log(m.data);
//   chat.send("hello")
#include <cluster.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include <csignal>

#include "websocket.hpp"

using namespace cluster::literals;
using chat_cluster = cluster::compose<cluster::scheduling::sticky<>, cluster::restart::always>;

struct said {
    std::string who;
    std::string what;
};

// What one worker knows: who is here, and how often each client has come. With a policy that is not
// sticky, a client would be a stranger to most workers.
template <typename Self>
class room {
public:
    explicit room(Self& self) : self_{self} {
        self_.on_message([this](const said& news) { tell(news); }); // of other workers' clients
        self_.once(cluster::event::disconnect, [this] {
            for (auto all = here_; const auto& each : all) {
                each->close(1001);
            }
        });
    }

    void enter(std::shared_ptr<examples::websocket> client, const std::string& who) {
        here_.insert(client);
        client->send("worker " + std::to_string(self_.id()) + ", place " +
                     std::to_string(self_.slot()) + ", visit " + std::to_string(++visits_[who]));
        client->on_close = [this, client] { here_.erase(client); };
        client->on_text = [this, who](std::string_view what) {
            said news{who, std::string{what}};
            tell(news);
            self_.broadcast(news);
        };
    }

private:
    void tell(const said& news) {
        for (auto all = here_; const auto& each : all) {
            each->send(news.who + ": " + news.what);
        }
    }

    Self& self_;
    std::set<std::shared_ptr<examples::websocket>> here_;
    std::map<std::string, int> visits_;
};

int main(int argc, char** argv) {
    auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 8000);
    chat_cluster app{argc, argv};
    std::shared_ptr<void> kept; // as long as the loop runs
    return app.run(
        [](auto& primary) {
            primary.fork(4);
            primary.on_signal(SIGTERM, [&primary] { primary.shutdown({.deadline = 10_s}); });
            primary.once(cluster::event::listening, [&primary](const cluster::address& at) {
                primary.when_ready([at] {
                    std::printf("listening on %s\n", at.to_string().c_str());
                    std::fflush(stdout);
                });
            });
        },
        [&](auto& self) {
            using self_type = std::remove_reference_t<decltype(self)>;
            auto chat = std::make_shared<room<self_type>>(self);
            kept = chat;
            self.listen({.port = port}, [&self, chat](cluster::connection client) {
                auto who = client.remote().host();
                examples::serve_websocket(self, std::move(client), [chat, who](auto socket) {
                    chat->enter(socket, who);
                });
            });
        });
}
