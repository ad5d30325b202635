// SPDX-License-Identifier: MIT
// grpc_client PORT CALLS: asks one after the other on one channel; a call that is cut is made again. Says how many were.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>
#include <hello.grpc.pb.h>

namespace {

grpc::Status
greet(examples::Greeter::Stub& stub, const std::string& name, examples::Answer& answer) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds{60});
    examples::Question question;
    question.set_name(name);
    return stub.Greet(&context, question, &answer);
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        return 2;
    }
    grpc::ChannelArguments options;
    options.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
    options.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    options.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    auto stub = examples::Greeter::NewStub(grpc::CreateCustomChannel(
        std::string{"ipv4:127.0.0.1:"} + argv[1], grpc::InsecureChannelCredentials(), options));
    int calls = std::atoi(argv[2]);
    int cut = 0;
    std::string peer;
    for (int i = 0; i < calls;) {
        std::string name = "client " + std::to_string(i);
        examples::Answer answer;
        auto status = greet(*stub, name, answer);
        if (status.ok() && answer.text().starts_with("Hello " + name + " from worker ")) {
            peer = answer.peer();
            ++i;
        } else if (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                   status.error_code() == grpc::StatusCode::CANCELLED) {
            ++cut; // cancelled: it arrived in the instant in which the server began to shut down
        } else {
            std::printf(
                "%d: %s\n", static_cast<int>(status.error_code()), status.error_message().c_str());
            return 1;
        }
    }
    std::printf("%d answered, %d cut, as %s\n", calls, cut, peer.c_str());
}
