// SPDX-License-Identifier: MIT
#include <cluster/adapters/grpc.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"
#include "lone_role.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>
#include <hello.grpc.pb.h>

namespace {

using namespace std::chrono_literals;
using cluster::adapters::run_with_grpc;
using cluster::adapters::to_grpc;

struct greeter final : examples::Greeter::Service {
    grpc::Status Greet(grpc::ServerContext* context,
                       const examples::Question* question,
                       examples::Answer* answer) override {
        began = true;
        if (question->name() == "forever") {
            while (!context->IsCancelled()) {
                std::this_thread::sleep_for(1ms);
            }
        } else if (question->name() == "slow") {
            worker->disconnect();
            std::this_thread::sleep_for(200ms); // the answer is still to come
        }
        answer->set_text("hello " + question->name());
        answer->set_peer(context->peer());
        return grpc::Status::OK;
    }
    lone_role* worker = nullptr;
    std::atomic<bool> began{false};
};

struct fixture {
    fixture() {
        service.worker = &worker;
        grpc::ServerBuilder builder;
        builder.RegisterService(&service);
        acceptor = builder.experimental().AddExternalConnectionAcceptor(
            grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
            grpc::InsecureServerCredentials());
        server = builder.BuildAndStart();
    }
    fixture(fixture&&) = delete;
    fixture& operator=(fixture&&) = delete;
    ~fixture() { server->Shutdown(std::chrono::system_clock::now()); }

    static std::unique_ptr<examples::Greeter::Stub> client_on(cluster::unique_fd fd) {
        cluster::detail::os::set_nonblocking(fd.get(), true);
        return examples::Greeter::NewStub(grpc::CreateInsecureChannelFromFd("there", fd.release()));
    }

    lone_role worker;
    greeter service;
    std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
    std::unique_ptr<grpc::Server> server;
};

struct reply {
    grpc::Status status;
    examples::Answer answer;
};
reply ask(examples::Greeter::Stub& stub, const std::string& name) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10min);
    examples::Question question;
    question.set_name(name);
    reply got;
    got.status = stub.Greet(&context, question, &got.answer);
    return got;
}

cluster::connection taken(raw::ends& pair) {
    return cluster::connection{std::move(pair.ours)};
}

} // namespace

TEST_SUITE("adapters/grpc") {
    TEST_CASE_FIXTURE(fixture, "a connection is a channel of the server: TCP and UNIX") {
        raw::ends pair;
        SUBCASE("TCP") {
            pair = raw::tcp_pair();
        }
        SUBCASE("UNIX") {
            pair = raw::unix_pair();
        }
        REQUIRE_FALSE(to_grpc(*server, taken(pair)));
        auto client = client_on(std::move(pair.theirs));
        CHECK(ask(*client, "you").answer.text() == "hello you");
        CHECK(ask(*client, "again").answer.text() == "hello again");
    }

    TEST_CASE_FIXTURE(fixture, "by an acceptor the server knows its client's address") {
        auto pair = raw::tcp_pair();
        REQUIRE_FALSE(to_grpc(*acceptor, taken(pair)));
        auto client = client_on(std::move(pair.theirs));
        auto got = ask(*client, "you");
        CHECK(got.answer.text() == "hello you");
        CHECK(got.answer.peer().find("127.0.0.1") != std::string::npos);
    }

    TEST_CASE_FIXTURE(fixture, "an empty connection is an error and nonsense harms nobody") {
        CHECK(to_grpc(*server, cluster::connection{}) == std::errc::bad_file_descriptor);
        CHECK(to_grpc(*acceptor, cluster::connection{}) == std::errc::bad_file_descriptor);
        for (const char* text :
             {"", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff"}) {
            auto bad = raw::tcp_pair();
            REQUIRE_FALSE(to_grpc(*server, taken(bad)));
            raw::send_some(bad.theirs.get(), text);
        }
        auto gone = raw::tcp_pair();
        gone.theirs.reset();
        REQUIRE_FALSE(to_grpc(*server, taken(gone)));
        auto pair = raw::tcp_pair();
        REQUIRE_FALSE(to_grpc(*server, taken(pair)));
        CHECK(ask(*client_on(std::move(pair.theirs)), "you").status.ok());
    }

    TEST_CASE_FIXTURE(fixture, "after the disconnect a call that runs gets its answer") {
        auto pair = raw::tcp_pair();
        REQUIRE_FALSE(to_grpc(*server, taken(pair)));
        auto client = client_on(std::move(pair.theirs));
        std::string text;
        std::thread caller{[&] { text = ask(*client, "slow").answer.text(); }};
        run_with_grpc(worker, *server, 30s);
        caller.join();
        CHECK(text == "hello slow");
        CHECK_FALSE(worker.turning.was_stopped());
        CHECK_FALSE(ask(*client, "late").status.ok());
    }

    TEST_CASE_FIXTURE(fixture, "calls that do not end are cancelled") {
        auto pair = raw::tcp_pair();
        REQUIRE_FALSE(to_grpc(*server, taken(pair)));
        auto client = client_on(std::move(pair.theirs));
        grpc::Status status;
        std::thread caller{[&] { status = ask(*client, "forever").status; }};
        while (!service.began) {
            std::this_thread::sleep_for(1ms);
        }
        SUBCASE("when the grace is over") {
            worker.disconnect();
            run_with_grpc(worker, *server, 50ms);
        }
        SUBCASE("when the role is stopped") {
            worker.turning.stop(7);
            run_with_grpc(worker, *server, 1h);
            CHECK(worker.turning.run() == 7);
        }
        SUBCASE("when the role is stopped while they have their grace") {
            worker.disconnect();
            worker.turning.after(50ms, [&] { worker.turning.stop(7); });
            run_with_grpc(worker, *server, 1h);
            CHECK(worker.turning.run() == 7);
        }
        SUBCASE("when a handler of the role throws") {
            worker.turning.defer([] { throw std::runtime_error("oops"); });
            CHECK_THROWS_WITH(run_with_grpc(worker, *server, 1h), "oops");
        }
        caller.join();
        CHECK_FALSE(status.ok());
    }
}
