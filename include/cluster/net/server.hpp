// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_SERVER_HPP
#define CLUSTER_NET_SERVER_HPP

#include "../detail/accept_pace.hpp"
#include "../detail/accept_pressure.hpp"
#include "../detail/algorithm.hpp"
#include "../detail/chrono.hpp"
#include "../detail/connection_account.hpp"
#include "../detail/endpoint.hpp"
#include "../detail/memory.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/os.hpp"
#include "../detail/proxy_reader.hpp"
#include "../event_loop.hpp"
#include "address.hpp"
#include "connection.hpp"
#include "listen_options.hpp"

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

class server;

namespace detail {

/// Who owns a server: told when it stops listening and when it is over, so that the primary can be
/// told and the object can go.
class server_owner {
public:
    virtual void on_server_closed(server& which) noexcept = 0;   // takes no new connections
    virtual void on_server_finished(server& which) noexcept = 0; // and has none left
    virtual void on_server_ready(server& which) noexcept = 0;    // handed ones are welcome again
    /// A handler has taken a connection that we have accepted. May throw.
    virtual void on_taken() {}
    /// It cannot accept: no descriptors, no memory. At most once a second; may throw.
    virtual void on_server_pressure(server& which, const std::error_code& cause) = 0;
    /// Where its connections are counted; null: nowhere.
    virtual std::shared_ptr<load_counters> load() noexcept = 0;
    /// Tells the primary what was taken; null: there is nobody to tell.
    virtual turn_hook* bell() noexcept { return nullptr; }

protected:
    ~server_owner() = default;
};

struct server_access;

} // namespace detail

/// Something that listens: what listen() returns. The role owns it; a reference stays good after the
/// server's end until 64 more have ended, and every call on an ended one does nothing. Same thread as
/// the loop.
class server {
public:
    /// Called with each connection.
    using connection_handler = detail::move_only_function<void(connection)>;

    /// Where it really listens, with the port that the system chose; the first of its addresses.
    [[nodiscard]] cluster::address address() const noexcept {
        return endpoints_.empty() ? cluster::address{} : endpoints_.front()->at();
    }
    /// All of them, in the order of listen_options::addresses.
    [[nodiscard]] std::vector<cluster::address> addresses() const {
        std::vector<cluster::address> result;
        for (const auto& each : endpoints_) {
            result.push_back(each->at());
        }
        return result;
    }

    /// Connections that are open: those given to the handler and not yet closed or released.
    [[nodiscard]] std::size_t connections() const noexcept { return account_->open(); }

    [[nodiscard]] bool is_listening() const noexcept { return listening_; }

    /// Takes no more connections; open ones go on. Idempotent, does not block.
    void close() noexcept {
        if (std::exchange(listening_, false)) {
            for (auto& each : sockets_) { // one of them may be in its accept loop: it dies with us
                each->watch.stop();
                each->fd.reset();
            }
            pressure_.release_reserve();
            for (auto& each : endpoints_) {
                each->remove_file();
            }
            hold(false);
            account_->wait_for_changes(true);
            owner_.on_server_closed(*this);
            loop_.defer([account = account_] { account->report(); });
        }
    }

    /// Called once after close(), when the last connection has ended.
    template <typename F>
    server& on_close(F&& f) {
        on_close_ = std::forward<F>(f);
        return *this;
    }

    /// Called with each connection that is closed because `max_connections` are open.
    template <typename F>
    server& on_drop(F&& f) {
        on_drop_ = std::forward<F>(f);
        return *this;
    }

    /// A server that is not `ref`ed does not keep the worker alive.
    void ref() noexcept {
        refed_ = true;
        hold(listening_);
    }
    void unref() noexcept {
        refed_ = false;
        hold(false);
    }

    /// Treats a connection from elsewhere (a message) as one of this server's own.
    void inject(connection client) {
        take(detail::connection_access::take_descriptor(client), {.shared = true});
    }

    server(detail::server_owner& owner,
           event_loop& loop,
           const listen_options& options,
           connection_handler handler)
        : owner_{owner},
          loop_{loop},
          limit_{options.max_connections},
          drops_{options.drop_beyond_max},
          sheds_{options.under_pressure == pressure::shed},
          handler_{std::move(handler)},
          waiting_{limit_ == 0 && !drops_} {
        account_ = std::make_shared<detail::connection_account>(
            loop, [this] { on_change(); }, owner.load());
        account_->set_bell(owner.bell());
        if (options.proxy_protocol) {
            proxy_ = std::make_unique<detail::proxy_reader>(
                loop, [this](connection client) { handler_(std::move(client)); });
        }
        hold(true);
    }
    ~server() {
        account_->detach();
        hold(false);
        pause_.cancel();
    }
    server(server&&) = delete;
    server& operator=(server&&) = delete;

private:
    friend struct detail::server_access;

    struct socket {
        server& owner;
        detail::endpoint& at;
        std::uint32_t slot;
        unique_fd fd;
        detail::io_watch watch;
        int accepted = 0; // since it was registered last
        detail::accept_pace pace = {};

        void on_ready(detail::os::io) { owner.accept_some(*this); }
        [[nodiscard]] bool is_shared() const noexcept {
            return at.mode() == detail::accept_mode::shared;
        }
    };

    // Fairness of a shared socket: the kernel wakes the poller that registered last (LIFO), so one
    // worker would take everything. Registering anew after a few accepts rotates the list
    // (measured: 496/512/496/496 of 2,000 instead of 1949/1/45/5).
    static constexpr int accepts_per_registration = 16;

    detail::endpoint&
    add_endpoint(std::uint32_t key, const cluster::address& at, detail::accept_mode mode) {
        if (sheds_ && mode != detail::accept_mode::handed) {
            pressure_.keep_reserve();
        }
        return *endpoints_.emplace_back(std::make_unique<detail::endpoint>(key, at, mode));
    }

    [[nodiscard]] detail::endpoint* find(std::uint32_t key) noexcept {
        for (auto& each : endpoints_) {
            if (each->key() == key) {
                return each.get();
            }
        }
        return nullptr;
    }

    void add_socket(detail::endpoint& at, std::uint32_t slot, unique_fd fd) {
        auto& added = sockets_.emplace_back(new socket{*this, at, slot, std::move(fd), {}});
        detail::os::set_nonblocking(added->fd.get(), true);
        if (!waiting_) {
            listen_to(*added);
        }
    }

    void remove_socket(const detail::endpoint& at, std::uint32_t slot) noexcept {
        detail::erase_if(sockets_, [&at, slot](const auto& each) {
            return &each->at == &at && each->slot == slot;
        });
    }

    void listen_to(socket& from) {
        using detail::os::io;
        auto what = from.is_shared() ? io::readable | io::exclusive : io::readable;
        from.watch.keep_alive(false); // hold() decides
        from.accepted = 0;
        from.watch.start<&socket::on_ready>(loop_, from.fd.get(), what, from);
    }

    // Registering anew tells what is there already.
    void recheck() {
        for (auto& each : sockets_) {
            if (each->watch.active()) {
                each->watch.stop();
                listen_to(*each);
            }
        }
    }

    void accept_some(socket& from) {
        int budget = from.is_shared() ? 1 : from.pace.budget();
        from.pace.used_up(); // now: a handler may close the server, and `from` with it
        while (budget-- != 0 && listening_ && !waiting_) {
            unique_fd accepted = detail::os::accept_from(from.fd.get());
            if (!accepted) {
                auto cause = detail::os::last_error();
                from.pace.found_the_end();
                if (!goes_on_after(from, cause)) {
                    return;
                }
                continue;
            }
            pressure_.succeeded();
            auto* counted = from.at.count_accepted(from.slot);
            if (from.is_shared() && ++from.accepted == accepts_per_registration) {
                from.watch.stop();
                listen_to(from);
            }
            take(std::move(accepted), {}, counted);
            owner_.on_taken();
        }
    }

    bool goes_on_after(const socket& from, const std::error_code& cause) {
        using enum detail::os::accept_failure;
        auto failure = detail::os::classify_accept_error(cause.value());
        // Broken: shut down by one who shares it. The primary repairs it, or nobody does: then it
        // must not keep us busy.
        if (failure == listener_broken || (failure == this_connection && pressure_.failed())) {
            pause();
        } else if (failure == out_of_resources) {
            relieve(from, cause);
        }
        return failure == this_connection && !waiting_;
    }

    void relieve(const socket& from, const std::error_code& cause) {
        auto shed = pressure_.shed(from.fd.get(), cause);
        if (shed == 0) {
            pause_for_resources(cause);
            return;
        }
        for (; shed != 0; --shed) {
            account_->refused(false);
        }
        tell_pressure(cause);
    }

    // May throw what the handler throws; nothing of ours is left undone then.
    void
    take(unique_fd accepted, detail::handed_over from, detail::load_counter* counted = nullptr) {
        if (finished_ || account_->open() >= limit_) {
            account_->refused(from.by_primary, counted);
            account_->leaves(from);
            connection dropped{std::move(accepted)};
            if (on_drop_) {
                on_drop_(std::move(dropped));
            }
            return;
        }
        if (!from.by_primary) {
            account_->found_one();
        }
        if (account_->open() + 1 >= limit_ && !drops_) { // this is the last one
            wait_for_room();
            if (account_->open() + 1 < limit_) { // one ended in another thread before we asked
                loop_.defer([account = account_] { account->report(); });
            }
        }
        auto client = [&] {
            return detail::connection_access::make(std::move(accepted), account_, from, counted);
        };
        proxy_ ? proxy_->read(client()) : handler_(client());
    }

    [[nodiscard]] bool has_room() const noexcept {
        return !held_back_ && (drops_ || account_->open() < limit_);
    }
    [[nodiscard]] bool welcomes_handed() const noexcept {
        return listening_ && !waiting_ && has_room();
    }

    void wait_for_room() {
        waiting_ = true;
        account_->wait_for_changes(true);
        for (auto& each : sockets_) {
            each->watch.stop();
        }
    }

    void pause() {
        wait_for_room();
        pause_.cancel();
        pause_ = loop_.after(pressure_.next_pause(), [this] { on_change(); });
    }
    void pause_for_resources(const std::error_code& cause) {
        pause();
        tell_pressure(cause);
    }
    void tell_pressure(const std::error_code& cause) {
        if (pressure_.is_news(loop_.now())) {
            owner_.on_server_pressure(*this, cause);
        }
    }

    void on_change() {
        if (!listening_) {
            if (account_->open() == 0 && !std::exchange(finished_, true)) {
                finish();
            }
            return;
        }
        if (waiting_ && has_room()) {
            waiting_ = false;
            account_->wait_for_changes(false);
            for (auto& each : sockets_) {
                listen_to(*each);
            }
            owner_.on_server_ready(*this);
        }
    }

    // A worker that is not ready yet accepts nothing.
    void hold_back(bool on) {
        held_back_ = on;
        if (on) {
            wait_for_room();
        } else {
            on_change();
        }
    }

    void fail() noexcept {
        pressure_.release_reserve();
        sockets_.clear();
        endpoints_.clear();
        listening_ = false;
        finished_ = true;
        owner_.on_server_finished(*this);
    }

    void finish() {
        auto closed = std::move(on_close_);
        struct guard_type { // the handler may throw
            server& self;
            ~guard_type() {
                self.handler_ = {}; // what it holds may go, the server itself stays for a while
                self.on_drop_ = {};
                self.sockets_.clear();
                self.owner_.on_server_finished(self);
            }
        } guard{*this};
        if (closed) {
            closed();
        }
    }

    void hold(bool wanted) noexcept {
        wanted = wanted && refed_;
        if (std::exchange(holding_, wanted) != wanted) {
            wanted ? loop_.ref() : loop_.unref();
        }
    }

    detail::server_owner& owner_;
    event_loop& loop_;
    std::size_t limit_;
    bool drops_;
    bool sheds_;
    connection_handler handler_;
    detail::move_only_function<void()> on_close_;
    detail::move_only_function<void(connection)> on_drop_;
    std::shared_ptr<detail::connection_account> account_;
    std::unique_ptr<detail::proxy_reader> proxy_;
    std::vector<std::unique_ptr<detail::endpoint>> endpoints_; // none: it never listened
    std::vector<std::unique_ptr<socket>> sockets_;
    detail::accept_pressure pressure_;
    timer pause_;
    bool listening_ = true;
    bool waiting_; // full, or the system is out of descriptors
    bool held_back_ = false;
    bool finished_ = false;
    bool refed_ = true;
    bool holding_ = false;
};

namespace detail {

/// The library's own way into a server.
struct server_access {
    static const std::vector<std::unique_ptr<endpoint>>& endpoints(const server& of) noexcept {
        return of.endpoints_;
    }
    static endpoint* find(server& in, std::uint32_t key) noexcept { return in.find(key); }
    static endpoint&
    add_endpoint(server& to, std::uint32_t key, const address& at, accept_mode mode) {
        return to.add_endpoint(key, at, mode);
    }
    static void add_socket(server& to, endpoint& at, std::uint32_t slot, unique_fd fd) {
        to.add_socket(at, slot, std::move(fd));
    }
    static std::error_code tell_load(server& by, endpoint& at, std::uint32_t slot, int descriptor) {
        return at.tell_load(slot, descriptor, *by.account_);
    }
    static void remove_socket(server& from, const endpoint& at, std::uint32_t slot) noexcept {
        from.remove_socket(at, slot);
    }
    /// Lets go of what it has and makes it look closed; it goes in the next turn.
    static void fail(server& of) noexcept { of.fail(); }
    static void hold_back(server& which, bool on) { which.hold_back(on); }
    static void recheck(server& which) { which.recheck(); }
    static bool welcomes(const server& of) noexcept { return of.welcomes_handed(); }
    static void take(server& by, unique_fd accepted, const handed_over& from) {
        by.take(std::move(accepted), from);
    }
    static void pause_for_resources(server& of, const std::error_code& cause) {
        of.pause_for_resources(cause);
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_NET_SERVER_HPP
