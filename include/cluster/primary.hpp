// SPDX-License-Identifier: MIT
#ifndef CLUSTER_PRIMARY_HPP
#define CLUSTER_PRIMARY_HPP

#include "byte_buffer.hpp"
#include "detail/broadcast_functions.hpp"
#include "detail/chrono.hpp"
#include "detail/encode_message.hpp"
#include "detail/iterator.hpp"
#include "detail/loop_functions.hpp"
#include "detail/memory.hpp"
#include "detail/primary_core.hpp"
#include "detail/shared_memory_functions.hpp"
#include "event.hpp"
#include "fork_options.hpp"
#include "fwd.hpp"
#include "ipc/thread_carrier.hpp"
#include "messaging.hpp"
#include "net/connection.hpp"
#include "net/datagram_options.hpp"
#include "net/datagram_socket.hpp"
#include "net/listener.hpp"
#include "net/server.hpp"
#include "net/stream.hpp"
#include "reload.hpp"
#include "restart/never.hpp"
#include "service_notifier.hpp"
#include "shutdown_options.hpp"
#include "stats.hpp"
#include "supervision.hpp"
#include "worker.hpp"

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// The workers of a primary in the order of their ids: a view, good until one is added or dies.
template <typename Worker>
class worker_range {
public:
    /// Goes over them; stays good when a worker is added.
    class iterator {
    public:
        using value_type = Worker;
        using difference_type = std::ptrdiff_t;
        using reference = Worker&;
        using pointer = Worker*;
        using iterator_category = std::forward_iterator_tag;

        iterator() noexcept = default;
        iterator(const std::vector<detail::owned_worker>& all, std::size_t at) noexcept
            : all_{&all}, at_{at} {}
        Worker& operator*() const noexcept { return static_cast<Worker&>(*(*all_)[at_]); }
        Worker* operator->() const noexcept { return &**this; }
        iterator& operator++() noexcept { return ++at_, *this; }
        iterator operator++(int) noexcept { return iterator{*all_, at_++}; }
        friend bool operator==(const iterator&, const iterator&) noexcept = default;

    private:
        const std::vector<detail::owned_worker>* all_ = nullptr;
        std::size_t at_ = 0; // not a pointer: a handler may fork while somebody walks
    };

    worker_range(const std::vector<detail::owned_worker>& all, std::size_t first) noexcept
        : all_{&all}, first_{first} {}

    [[nodiscard]] std::size_t size() const noexcept {
        return first_ < all_->size() ? all_->size() - first_ : 0; // some may have died since
    }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    [[nodiscard]] iterator begin() const noexcept { return {*all_, all_->size() - size()}; }
    [[nodiscard]] iterator end() const noexcept { return {*all_, all_->size()}; }

    /// By position. \throws std::out_of_range
    [[nodiscard]] Worker& at(std::size_t index) const {
        return static_cast<Worker&>(*all_->at(first_ + index));
    }
    [[nodiscard]] Worker& operator[](std::size_t index) const noexcept {
        return static_cast<Worker&>(*(*all_)[first_ + index]);
    }
    /// By id; null when it is dead or never was.
    [[nodiscard]] Worker* find(std::uint32_t id) const noexcept {
        for (auto& each : *this) {
            if (each.id() == id) {
                return &each;
            }
        }
        return nullptr;
    }

private:
    const std::vector<detail::owned_worker>* all_;
    std::size_t first_;
};

/// The role of the process that starts workers and watches over them. Made by basic_cluster.
/// Everything from the thread that runs it, which is also the thread that starts workers; post()
/// and stop() from any. A call that cannot be made in this role does not exist here.
template <typename Cluster>
class basic_primary final : private detail::cluster_policies,
                            public detail::loop_functions,
                            public detail::shared_memory_functions<basic_primary<Cluster>>,
                            public detail::broadcast_functions<basic_primary<Cluster>,
                                                               typename Cluster::serializer_type> {
    using serializer_policy = typename Cluster::serializer_type;

public:
    using worker = basic_worker<Cluster>;
    template <typename Reply>
    using responder = basic_responder<Reply, serializer_policy>;

    basic_primary(event_loop& loop, std::vector<std::string> arguments, unsigned cluster)
        : loop_functions{loop}, core_{loop, *this, std::move(arguments), cluster} {}

    /// Changes the settings of later fork() calls: what `options` leaves at its default stays as it
    /// was. Every call raises event::setup.
    void setup(const fork_options& options = {}) { core_.setup(options); }
    /// Empty before the first setup() or fork().
    [[nodiscard]] const fork_options& settings() const noexcept { return core_.settings(); }

    /// Starts a worker and returns at once; the start costs the same whatever this process's
    /// memory. Messages may be sent at once. A worker that cannot be started is told by
    /// event::error and event::exit (`exit_reason::spawn_failed`), like any other death.
    worker& fork(const fork_options& options = {}) {
        return static_cast<worker&>(core_.fork(options));
    }
    /// Starts `count` workers. \returns those.
    worker_range<worker> fork(std::size_t count, const fork_options& options = {}) {
        std::size_t before = core_.workers().size();
        for (std::size_t i = 0; i != count; ++i) {
            core_.fork(options);
        }
        return {core_.workers(), before};
    }

    /// Takes a copy of `warmed` as it is in its next turn, with all that it has loaded and cached,
    /// as what later workers are forked from; those that run stay as they are. One that has threads
    /// is not taken, and everything stays as it was. \returns why it could not be asked
    template <typename Backend = typename Cluster::backend_type>
    std::error_code refork(worker& warmed) {
        constexpr bool can = requires(Backend& b, unique_fd& fd) { b.prepare_refork(fd); };
        static_assert(can, "refork: only workers of cluster::backend::fork share their memory.");
        std::error_code error = errc::worker_gone;
        if constexpr (can) {
            unique_fd theirs;
            if (warmed.is_connected()) {
                error = backend_.prepare_refork(theirs);
            }
            if (!error) {
                warmed.channel_.send_control({0, detail::frame_kind::refork, 0, 0, 0},
                                             detail::descriptor_list{std::move(theirs)});
                core_.renew_spares();
            }
        }
        return error;
    }

    /// The workers that live: all that were forked and whose exit has not been told.
    [[nodiscard]] worker_range<worker> workers() const noexcept { return {core_.workers(), 0}; }

    /// Calls `handler` for what happens to workers; see cluster/event.hpp for the events.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

    /// Calls `handler` with every worker's messages of the type that it takes: `[](auto& from,
    /// const job& message)`, `[](const job& message)`, and a cluster::handle behind the message for
    /// a descriptor that came along.
    template <typename F>
    subscription on_message(F&& handler) {
        auto added = table_.on_message(std::forward<F>(handler));
        claim();
        return added;
    }
    /// Answers every worker's requests of the type that `handler` takes with what it returns, or
    /// later by a `responder<Reply>` as its last parameter. What it throws is the answer, too.
    template <typename F>
    void on_request(F&& handler) {
        table_.on_request(std::forward<F>(handler));
        claim();
    }

    /// Sends a message to every worker that is connected.
    template <typename Message>
    void broadcast(const Message& message) {
        using type = detail::message_type_of<Message>;
        byte_buffer encoded; // once for all
        detail::encode_message<serializer_policy>(message, encoded);
        broadcast_encoded(detail::message_id<type>(), encoded.span());
    }
    /// For the library: the same with what another cluster has encoded.
    void broadcast_encoded(std::uint32_t type, std::span<const std::byte> payload) {
        for (auto& each : workers()) {
            if (each.is_connected()) {
                each.channel_.send({0, detail::frame_kind::message, 0, type, 0},
                                   [payload](byte_buffer& out) { out.append(payload); });
            }
        }
    }

    /// Asks every worker to finish (worker::disconnect); nobody replaces those that have died
    /// already. `done` is called once, later, after the last of them has exited; also when there is
    /// none.
    template <typename F>
    void disconnect(F&& done) {
        core_.disconnect(std::forward<F>(done));
    }
    /// The same without being called.
    void disconnect() { core_.disconnect({}); }

    /// How the cluster looks after its workers; for those that start later and those that run.
    void supervise(const supervision_options& options) { core_.supervise(options); }

    /// Calls `done` once, later, when every worker is ready; also when that is so already.
    template <typename F>
    void when_ready(F&& done) {
        core_.when_ready(std::forward<F>(done));
    }

    /// Replaces every worker by a fresh one of the next generation, which runs the program file as
    /// it is on disk now and the settings as they are now: each starts beside its predecessor, and
    /// when it is ready (self.ready(), listen()) that one drains. When one does not come up, the
    /// reload ends and the old workers serve on; so it does while the cluster is scaled to 0, since
    /// an unproven program would start then. Returns at once; event::reload and `done`, called
    /// with a `const reload_report&`, tell how it ended. Calls during a reload make one more behind
    /// it, with the last call's options.
    template <typename F>
    void reload(const reload_options& options, F&& done) {
        core_.reload(options, std::forward<F>(done));
    }
    /// The same without being called; event::reload tells.
    void reload(const reload_options& options = {}) { core_.reload(options, {}); }

    /// Starts workers, as fork() does, or asks some to finish, so that `count` are left. With 0 the
    /// cluster pauses: it keeps its addresses, and connections wait.
    void scale(std::size_t count, const scale_options& options = {}) {
        core_.scale(count, options);
    }

    /// What the workers have done and do now, read from memory that they share: no message, no
    /// waiting. A few system calls a worker.
    [[nodiscard]] cluster_stats stats() const { return core_.stats(); }

    /// Ends the cluster: tells the workers, lets them finish until the deadline, then SIGTERM, then
    /// SIGKILL; run() then returns 0, or 1 when a worker had to be forced. No worker is replaced
    /// any more. A second call takes the next step at once.
    void shutdown(const shutdown_options& options = {}) { core_.shutdown(options); }

    /// Tells systemd, or whatever manager has started the program with NOTIFY_SOCKET, how the
    /// cluster does, from now on: READY=1 when every worker is ready for the first time (as of
    /// when_ready()), RELOADING=1 and READY=1 around a reload, STOPPING=1 when shutdown() begins,
    /// STATUS= in words ("3 of 4 workers ready"), and WATCHDOG=1 while this loop turns, twice as
    /// often as it asks (WatchdogSec=). Does nothing when there is no such manager; the variables
    /// are taken out of the environment, so not while other threads read theirs. Never blocks.
    /// \returns by what to tell it more; lives as long as the primary
    /// \throws std::system_error when the variables make no sense
    service_notifier& notify_service_manager() {
        return notify_service_manager(service_notifier::from_environment());
    }
    /// The same without exceptions; with an error nobody is told anything.
    service_notifier& notify_service_manager(std::error_code& error) {
        return notify_service_manager(service_notifier::from_environment(error));
    }
    /// The same with a manager of one's own choice.
    service_notifier& notify_service_manager(service_notifier manager) {
        return core_.notify_service_manager(std::move(manager));
    }

    /// Makes run() return `code`; workers that still live end with the primary. Thread-safe.
    void stop(int code = 0) noexcept { core_.loop_.stop(code); }

    /// Listens in the primary itself, whatever the scheduling policy; `handler` gets the
    /// connections, which it may pass to a worker with send(). \throws std::system_error with the
    /// address
    server& listen(const listen_options& options, server::connection_handler handler) {
        std::error_code error;
        auto& made = listen(options, std::move(handler), error);
        if (error) {
            throw std::system_error(error, detail::describe(options));
        }
        return made;
    }
    /// The same without exceptions; with an error the server is closed and soon gone.
    server& listen(const listen_options& options,
                   server::connection_handler handler,
                   std::error_code& error) {
        return core_.servers().listen_alone(options, std::move(handler), error);
    }
    /// Listens on a socket that is there already.
    template <std::same_as<listener> Listener> // `{}` means the options
    server& listen(Listener socket, server::connection_handler handler) {
        return core_.servers().add(std::move(socket), std::move(handler));
    }

    /// Binds a datagram socket of the primary itself; without a handler it only sends.
    /// \throws std::system_error with the address
    datagram_socket& bind(const datagram_options& options,
                          datagram_socket::message_handler handler = {}) {
        std::error_code error;
        auto& made = bind(options, std::move(handler), error);
        if (error) {
            throw std::system_error(error, detail::describe(options));
        }
        return made;
    }
    /// The same without exceptions; with an error the socket is closed and soon gone.
    datagram_socket& bind(const datagram_options& options,
                          datagram_socket::message_handler handler,
                          std::error_code& error) {
        auto socket = detail::bind_datagram(options, error);
        return core_.datagrams().add(0, std::move(socket), options, std::move(handler));
    }

    /// Reads and writes a connection in this role's loop. The role owns the stream.
    stream& attach(connection client) { return core_.streams_.attach(std::move(client)); }

    /// The policies' objects, for those that have state to look at.
    [[nodiscard]] auto& scheduling() noexcept { return scheduling_; }
    [[nodiscard]] auto& restart() noexcept { return restart_; }
    [[nodiscard]] auto& backend() noexcept { return backend_; }

private:
    friend Cluster;
    using table = detail::message_table<worker,
                                        serializer_policy,
                                        detail::passes_objects<typename Cluster::backend_type>()>;
    friend class detail::shared_memory_functions<basic_primary>;
    friend class detail::broadcast_functions<basic_primary, serializer_policy>;

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        if constexpr (std::is_same_v<Event, event::setup_t>) {
            return core_.setup_.add(without_worker<fork_options>(std::forward<F>(handler)), once);
        } else if constexpr (std::is_same_v<Event, event::reload_t>) {
            return core_.reloaded_.add(without_worker<reload_report>(std::forward<F>(handler)),
                                       once);
        } else if constexpr (std::is_same_v<Event, event::listener_repaired_t>) {
            return core_.listener_repaired_.add(without_worker<address>(std::forward<F>(handler)),
                                                once);
        } else if constexpr (std::is_same_v<Event, event::backlog_clipped_t>) {
            return core_.backlog_clipped_.add(without_worker<address>(std::forward<F>(handler)),
                                              once);
        } else if constexpr (std::is_same_v<Event, event::fd_pressure_t>) {
            return core_.servers().fd_pressure_.add(
                without_worker<fd_pressure_info>(std::forward<F>(handler)), once);
        } else if constexpr (std::is_same_v<Event, event::restart_t>) {
            return core_.restart_.add(with_worker(std::forward<F>(handler)), once);
        } else if constexpr (std::is_same_v<Event, event::give_up_t>) {
            return core_.give_up_.add(with_worker(std::forward<F>(handler)), once);
        } else {
            return emitter_for(core_.events_, which)
                .add(with_worker(std::forward<F>(handler)), once);
        }
    }

    template <typename F>
    static auto with_worker(F&& handler) {
        return
            [f = std::forward<F>(handler)](detail::worker_core& one, const auto&... rest) mutable {
                detail::call_flexibly(f, static_cast<worker&>(one), rest...);
            };
    }

    template <typename Argument, typename F>
    static auto without_worker(F&& handler) {
        return [f = std::forward<F>(handler)](const Argument& now) mutable {
            if constexpr (std::is_invocable_v<std::decay_t<F>&, const Argument&>) {
                f(now);
            } else {
                f();
            }
        };
    }

    const auto& hub() noexcept { return core_.hub_; }
    std::shared_ptr<detail::shared_region> open_region(const detail::share_message& asked,
                                                       std::error_code& error) {
        const auto* found =
            core_.regions_.find_or_create(asked, detail::region_table::asker::primary, error);
        return found == nullptr ? nullptr : found->region;
    }

    void claim() {
        for (auto& each : workers()) {
            each.claim();
        }
    }

    // cluster_policies
    choice pick(const candidates& ready, const connection_info& from) override {
        return detail::pick_by(scheduling_, ready, from);
    }
    [[nodiscard]] bool needs_address() const noexcept override {
        return detail::needs_address(scheduling_);
    }
    [[nodiscard]] bool waits_for_one() const noexcept override {
        return detail::waits_for_one(scheduling_);
    }
    [[nodiscard]] kernel_steering steering() const noexcept override {
        return detail::steering_of(scheduling_);
    }
    std::unique_ptr<detail::os::socket_steering>
    open_steering(std::error_code& error) const override {
        return detail::open_steering(scheduling_, error);
    }
    [[nodiscard]] std::size_t peeks() const noexcept override { return detail::peeks(scheduling_); }
    std::error_code connect(detail::channel_ends& ends) const override {
        if constexpr (Cluster::backend_type::separate_memory) {
            unique_fd socket;
            auto error = detail::os::make_channel(socket, ends.theirs);
            if (!error) {
                using transport =
                    typename detail::transport_of<typename Cluster::backend_type>::type;
                ends.ours = transport::open(std::move(socket), ends.memory);
            }
            return error;
        } else {
            try {
                auto both = detail::thread_carrier::make();
                ends.ours = std::move(both[0]);
                ends.link = std::move(both[1]);
                return {};
            } catch (const std::system_error& failed) {
                return failed.code();
            }
        }
    }
    detail::launched_worker launch(const detail::launch_request& request,
                                   std::error_code& error) override {
        return backend_.launch({request.options,
                                request.arguments,
                                request.program,
                                request.channel,
                                request.cluster,
                                request.link,
                                entry_},
                               error);
    }
    [[nodiscard]] bool own_processes() const noexcept override {
        return Cluster::backend_type::separate_memory;
    }
    [[nodiscard]] bool can_launch_spares() const noexcept override {
        if constexpr (requires { backend_.is_reforking(); }) {
            return !backend_.is_reforking();
        } else {
            return true;
        }
    }
    restart_decision decide(const exit_report& report) override { return restart_.decide(report); }
    detail::owned_worker
    make_worker(std::uint32_t id, std::uint32_t slot, detail::worker_plan plan) override {
        return worker::make(core_, table_, id, slot, std::move(plan));
    }
    [[nodiscard]] bool replaces() const noexcept override {
        return detail::replaces<typename Cluster::restart_type>();
    }
    [[nodiscard]] detail::accept_mode mode() const noexcept override {
        switch (detail::site_of(scheduling_)) {
        case accept_site::primary:
            return detail::accept_mode::handed;
        case accept_site::own_socket:
            return detail::accept_mode::own_socket;
        case accept_site::shared_socket:
            break;
        }
        return detail::accept_mode::shared;
    }
    [[nodiscard]] std::string serializer() const override {
        return std::string{serializer_policy::name};
    }

    [[no_unique_address]] typename Cluster::scheduling_type scheduling_;
    [[no_unique_address]] typename Cluster::restart_type restart_;
    [[no_unique_address]] typename Cluster::backend_type backend_;
    std::shared_ptr<const detail::worker_entry> entry_;
    table table_;
    detail::primary_core core_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_PRIMARY_HPP
