// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_GRPC_HPP
#define CLUSTER_ADAPTERS_GRPC_HPP

#include "../event.hpp"
#include "../event_loop.hpp"
#include "../net/connection.hpp"
#include "../subscription.hpp"
#include "../unique_fd.hpp"

#include <chrono>
#include <semaphore>
#include <system_error>
#include <thread>
#include <utility>

#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>

namespace cluster {
inline namespace v0 {
namespace adapters {

/// Gives a connection, TCP or UNIX, to a gRPC server that has started, without credentials. From here
/// on the cluster's server does not count it. ServerContext::peer() is a number of a descriptor; where
/// that matters, or for credentials, take the other form. Channels live long, and a client has one of
/// them: GRPC_ARG_MAX_CONNECTION_AGE_MS makes it choose a worker anew now and then.
/// \returns `bad_file_descriptor` for an empty connection. Any thread.
[[nodiscard]] inline std::error_code to_grpc(grpc::Server& server, connection&& client) {
    unique_fd fd = client.release(io::nonblocking);
    if (!fd) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    grpc::AddInsecureChannelFromFd(&server, fd.release());
    return {};
}

/// The same with the credentials that ServerBuilder::experimental_type::AddExternalConnectionAcceptor
/// got, an experimental part of gRPC. Closed when its server has not started or is shut down.
[[nodiscard]] inline std::error_code
to_grpc(grpc::experimental::ExternalConnectionAcceptor& acceptor, connection&& client) {
    unique_fd fd = client.release(io::nonblocking);
    if (!fd) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters taken;
    taken.fd = fd.release();
    acceptor.HandleNewConnection(&taken);
    return {};
}

namespace detail {

/// The end of a server, which blocks: in a thread while the role's loop runs on.
class grpc_shutdown {
public:
    explicit grpc_shutdown(grpc::Server& server) noexcept : server_{server} {}
    grpc_shutdown(grpc_shutdown&&) = delete;
    grpc_shutdown& operator=(grpc_shutdown&&) = delete;

    /// Keeps the loop alive until it is done.
    void start(event_loop& loop, std::chrono::nanoseconds grace) {
        if (!thread_.joinable()) {
            thread_ = std::thread{[this, &loop, until = deadline(grace)] {
                server_.Shutdown(until);
                loop.post([&loop] { loop.unref(); });
                done_.release();
            }};
            loop.ref();
        }
    }

    /// Cancels the calls that still run.
    ~grpc_shutdown() {
        if (!thread_.joinable()) {
            server_.Shutdown(deadline(std::chrono::nanoseconds{0}));
            return;
        }
        do { // nothing else hurries a shutdown that runs; it may have yet to begin
            grpc_server_cancel_all_calls(server_.c_server());
        } while (!done_.try_acquire_for(std::chrono::milliseconds{10}));
        thread_.join();
    }

private:
    using clock = std::chrono::system_clock;

    static clock::time_point deadline(std::chrono::nanoseconds grace) {
        constexpr std::chrono::nanoseconds most = std::chrono::hours{24 * 365};
        return clock::now() +
               std::chrono::duration_cast<clock::duration>(grace < most ? grace : most);
    }

    grpc::Server& server_;
    std::binary_semaphore done_{0};
    std::thread thread_;
};

} // namespace detail

/// Runs the role's loop while gRPC serves in threads of its own; methods that need the role go through
/// self.post(). Blocks until the worker has finished: at event::disconnect the server is shut down,
/// which sends its clients elsewhere and gives the calls that run `grace` before they are cancelled.
/// A call that arrives in the very instant may come back as CANCELLED, which is gRPC's own way.
/// After a stop() of the role, or when a handler of it throws, calls are cancelled at once; its run()
/// then returns the code of the stop(). The server is shut down in any case.
///
/// Start gRPC in the worker, not before: it does not survive a fork (backend::fork).
template <typename Self>
void run_with_grpc(Self& self,
                   grpc::Server& server,
                   std::chrono::nanoseconds grace = std::chrono::seconds{5}) {
    event_loop& loop = self.loop();
    {
        detail::grpc_shutdown ending{server};
        subscription leaving = self.on(event::disconnect, [&] { ending.start(loop, grace); });
        struct cancel {
            subscription& of;
            ~cancel() { of.cancel(); }
        } guard{leaving};
        loop.run();
    }
    if (loop.was_stopped()) {
        loop.stop(loop.exit_code());
    }
}

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_GRPC_HPP
