// SPDX-License-Identifier: MIT
// A gRPC server on connections that the cluster hands out: each client's channel to the worker with the fewest.
#include <cluster.hpp>
#include <cluster/adapters/grpc.hpp>

#include "supervise.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include <csignal>

#include <grpcpp/grpcpp.h>
#include <hello.grpc.pb.h>

namespace {

class greeter final : public examples::Greeter::Service {
public:
    explicit greeter(unsigned worker) : worker_{worker} {}

    grpc::Status Greet(grpc::ServerContext* context,
                       const examples::Question* question,
                       examples::Answer* answer) override {
        answer->set_text("Hello " + question->name() + " from worker " + std::to_string(worker_));
        answer->set_worker(worker_);
        answer->set_peer(context->peer());
        return grpc::Status::OK;
    }

private:
    unsigned worker_;
};

template <typename Self>
void serve(Self& self, std::uint16_t port) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    greeter service{self.id()};
    grpc::ServerBuilder builder;
    builder.RegisterService(&service);
    auto acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    auto server = builder.BuildAndStart();
    self.listen({.port = port}, [&](cluster::connection client) {
        static_cast<void>(cluster::adapters::to_grpc(*acceptor, std::move(client)));
    });
    cluster::adapters::run_with_grpc(self, *server); // until the calls have ended
}

} // namespace

int main(int argc, char** argv) {
    auto port = examples::port_of(argc, argv);
    cluster::compose<cluster::restart::always, cluster::scheduling::least_connections> app{argc,
                                                                                           argv};
    return app.run([](auto& primary) { examples::supervise(primary); },
                   [port](auto& self) { serve(self, port); });
}
