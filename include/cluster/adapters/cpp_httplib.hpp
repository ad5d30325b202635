// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_CPP_HTTPLIB_HPP
#define CLUSTER_ADAPTERS_CPP_HTTPLIB_HPP

#include "../detail/os.hpp"
#include "../event.hpp"
#include "../event_loop.hpp"
#include "../net/listener.hpp"
#include "../unique_fd.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <httplib.h>

namespace cluster {
inline namespace v0 {
namespace adapters {

/// A server of cpp-httplib that accepts from a listening socket of the cluster. Its own stop() shuts
/// the socket down for every process that has it; this one only stops to accept. `Server` may be
/// httplib::SSLServer. Set it up as any httplib::Server, then call serve() instead of listen().
template <typename Server = httplib::Server>
class basic_httplib_server : public Server {
public:
    using Server::Server;
    basic_httplib_server(basic_httplib_server&&) = delete;
    basic_httplib_server& operator=(basic_httplib_server&&) = delete;

    /// Serves in threads of cpp-httplib's while the caller runs the role's loop; handlers that need
    /// the role go through self.post(). Blocks until the worker has finished (event::disconnect, then
    /// every client has its answer; one that keeps its connection open is waited for as long as
    /// set_keep_alive_timeout() says) or stop() of the role. Then the role's run() returns the code
    /// of that stop(), once the requests that run have ended. What a handler of the role throws
    /// leaves from here, after the same wait. Once per server.
    /// \throws std::system_error for a socket that does not listen, or when cpp-httplib cannot go on
    template <typename Self>
    void serve(Self& self, listener&& socket) {
        if (!cluster::detail::os::is_listening(socket.native_handle())) {
            throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor),
                                    "httplib_server");
        }
        listener_ = socket.release(io::nonblocking); // whoever else accepts may be quicker
        event_loop& loop = self.loop();
        watch_accepting();
        Server::set_idle_interval(0, 50'000); // it accepts in a loop and looks up now and then
        Server::svr_sock_ = listener_.get();
        subscription draining = self.on(event::disconnect, [this] { drain(); });
        {
            acceptor thread{*this, loop};
            loop.run();
        }
        draining.cancel();
        if (loop.was_stopped()) {
            loop.stop(loop.exit_code());
        }
        if (failed_) {
            throw std::system_error(std::make_error_code(std::errc::io_error), "httplib_server");
        }
    }

    /// Accepts no more; serve() goes on until the clients that are there have their answers.
    /// Thread-safe, idempotent, does not block.
    void drain() noexcept { draining_ = true; }
    /// The same: Server::stop() would be the end of every worker's socket.
    void stop() noexcept { drain(); }

private:
    // cpp-httplib calls it from the thread that accepts, after each accept and when there was none for
    // a while: the place to stop, since nobody else may touch the socket in between.
    class task_queue final : public httplib::TaskQueue {
    public:
        task_queue(basic_httplib_server& owner, httplib::TaskQueue* inner)
            : owner_{owner}, inner_{inner} {}

        using enqueue_result =
            decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>{}));
        inline enqueue_result enqueue(std::function<void()> serve_client) override {
            struct finally {
                basic_httplib_server& owner;
                ~finally() { owner.end_if_draining(); }
            } guard{owner_};
            return inner_->enqueue(
                [run = std::move(serve_client), open = owner_.count_client()] { run(); });
        }
        inline void shutdown() override { inner_->shutdown(); }
        inline void on_idle() override {
            inner_->on_idle();
            owner_.end_if_draining();
        }

    private:
        basic_httplib_server& owner_;
        std::unique_ptr<httplib::TaskQueue> inner_;
    };

    // The thread that accepts, for as long as the role's loop runs.
    class acceptor {
    public:
        acceptor(basic_httplib_server& owner, event_loop& loop)
            : owner_{owner}, thread_{[&owner, &loop] { owner.accept(loop); }} {
            loop.ref();
        }
        acceptor(acceptor&&) = delete;
        acceptor& operator=(acceptor&&) = delete;
        ~acceptor() {
            owner_.drain();
            thread_.join();
        }

    private:
        basic_httplib_server& owner_;
        std::thread thread_;
    };

    void accept(event_loop& loop) {
        Server::listen_after_bind();
        if (Server::svr_sock_.exchange(INVALID_SOCKET) != INVALID_SOCKET) {
            static_cast<void>(listener_.release()); // it has closed it
            failed_ = true;
            loop.stop(1);
        }
        listener_.reset();
        loop.post([&loop] { loop.unref(); });
    }

    void watch_accepting() {
        Server::new_task_queue = [this, inner = std::move(Server::new_task_queue)] {
            return new task_queue{*this, inner()};
        };
    }

    // Gone with the task, also when that is never run.
    std::shared_ptr<void> count_client() {
        std::lock_guard lock{mutex_};
        ++clients_;
        return {static_cast<void*>(this), [this](void*) {
                    std::lock_guard left{mutex_};
                    --clients_;
                    changed_.notify_one();
                }};
    }

    // A server without a socket closes the clients that it has not begun with: those come first.
    void end_if_draining() noexcept {
        if (draining_) {
            std::unique_lock lock{mutex_};
            changed_.wait_for(lock, std::chrono::seconds{Server::keep_alive_timeout_sec_}, [this] {
                return clients_ == 0;
            });
            Server::svr_sock_ = INVALID_SOCKET;
        }
    }

    unique_fd listener_;
    std::atomic<bool> draining_{false};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t clients_ = 0;
};

using httplib_server = basic_httplib_server<>;

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_CPP_HTTPLIB_HPP
