// N workers answer the datagrams of port 9001 from one socket. Usage: udp_echo, and then: nc -u localhost 9001
#include <cluster.hpp>

#include <csignal>
#include <cstdio>
#include <span>
#include <string>

int main(int argc, char** argv) {
  cluster::compose<cluster::restart::always> app{argc, argv};
  return app.run(
      [](auto& primary) {
        primary.once(cluster::event::listening, [](auto&, const cluster::address& at) {
          std::printf("udp_echo is bound to %s\n", at.to_string().c_str());
        });
        primary.on_signal(SIGTERM, [&primary] { primary.shutdown(); });
        primary.fork(cluster::available_parallelism());
      },
      [](auto& self) {
        auto& socket = self.bind({.port = 9001});
        socket.on_message([&](std::span<const std::byte> bytes, const cluster::address& from) {
          std::string text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
          socket.send_to("worker " + std::to_string(self.id()) + ": " + text, from);
        });
      });
}
