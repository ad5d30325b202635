// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SELF_CORE_HPP
#define CLUSTER_DETAIL_SELF_CORE_HPP

#include "../backend/concept.hpp"
#include "../event.hpp"
#include "../event_loop.hpp"
#include "../ipc/channel.hpp"
#include "../ipc/wire.hpp"
#include "../net/listener.hpp"
#include "../net/server.hpp"
#include "../net/stream.hpp"
#include "../stop_token.hpp"
#include "broadcast_hub.hpp"
#include "chrono.hpp"
#include "control_page.hpp"
#include "datagram_set.hpp"
#include "flush_at_exit.hpp"
#include "lifetime.hpp"
#include "listen_addresses.hpp"
#include "memory.hpp"
#include "server_set.hpp"
#include "shared_region.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The handlers of what happens to a worker, in the worker.
struct self_events {
    emitter<> disconnect, shutdown, drain;
    emitter<const unhandled_message_info&> unhandled_message;
    emitter<const std::error_code&> error;
    emitter<const fd_pressure_info&> fd_pressure;
};
inline auto& emitter_for(self_events& of, event::disconnect_t) {
    return of.disconnect;
}
inline auto& emitter_for(self_events& of, event::shutdown_t) {
    return of.shutdown;
}
inline auto& emitter_for(self_events& of, event::drain_t) {
    return of.drain;
}
inline auto& emitter_for(self_events& of, event::error_t) {
    return of.error;
}
inline auto& emitter_for(self_events& of, event::fd_pressure_t) {
    return of.fd_pressure;
}
inline auto& emitter_for(self_events& of, event::unhandled_message_t) {
    return of.unhandled_message;
}

class self_core;

/// The datagram sockets of a worker.
class self_datagrams final : public datagram_set {
public:
    self_datagrams(event_loop& loop, self_core& self) noexcept : datagram_set{loop}, self_{self} {}

private:
    inline void on_datagram_closed(datagram_socket& which) noexcept override;
    inline void on_datagram_finished(datagram_socket& which) noexcept override;
    inline std::shared_ptr<load_counters> load() noexcept override;

    self_core& self_;
};

/// A worker, in the worker, without the types of its messages.
class self_core : private channel_owner, private server_set {
public:
    /// Takes the channel, reads who this worker is and tells the primary that it is online.
    /// \throws std::system_error when the other side is no primary of this version.
    self_core(event_loop& loop,
              unique_fd channel_socket,
              std::string serializer,
              worker_surroundings where)
        : server_set{loop},
          loop_{loop},
          streams_{loop},
          channel_{loop, *this, direction::to_worker},
          where_{std::move(where)},
          flusher_{channel_, where_.own_process} {
        auto error = where_.link ? channel_.open(std::move(where_.link))
                                 : channel_.open(std::move(channel_socket));
        if (error) {
            throw std::system_error(error, "worker channel");
        }
        be_welcomed(serializer);
        channel_.send({0, frame_kind::online, 0, 0, 0}, [&](byte_buffer& out) {
            encode_wire(online_message{protocol_version, serializer}, out);
        });
        channel_.flush();
        loop_.defer(alive_.guard([this] { start_beating(); }));
    }
    self_core(self_core&&) = delete;
    self_core& operator=(self_core&&) = delete;

    [[nodiscard]] std::uint32_t id() const noexcept { return welcome_.id; }
    [[nodiscard]] std::uint32_t slot() const noexcept { return welcome_.slot; }
    [[nodiscard]] std::uint32_t generation() const noexcept { return welcome_.generation; }
    [[nodiscard]] const std::string& name() const noexcept { return welcome_.name; }
    [[nodiscard]] bool is_ready() const noexcept { return ready_; }
    [[nodiscard]] bool is_connected() const noexcept { return channel_.is_open() && !leaving_; }
    [[nodiscard]] bool exited_after_disconnect() const noexcept { return after_disconnect_; }

    server& listen(const listen_options& options,
                   server::connection_handler handler,
                   std::error_code& error);
    std::error_code join(server& made, const listen_options& options, bool makes_ready);
    listener open_listener(const listen_options& options, std::error_code& error);
    datagram_socket& bind_datagram(const datagram_options& options,
                                   datagram_socket::message_handler handler,
                                   std::error_code& error);
    std::shared_ptr<shared_region> open_region(const share_message& asked, std::error_code& error);
    server& serve(listener socket, server::connection_handler handler) {
        auto& made = server_set::add(std::move(socket), std::move(handler));
        now_listening(made, false);
        return made;
    }

    void ready();
    void defer_ready() {
        if (!ready_ && !std::exchange(ready_deferred_, true)) {
            channel_.send_control({0, frame_kind::ready, 0, 1, 0});
            channel_.flush(); // it may crash next
        }
    }
    void count_request(std::uint64_t count) noexcept {
        (*page_)->load.requests.fetch_add(count, std::memory_order_relaxed);
    }

    void disconnect();
    void kill();
    void close() {
        say_goodbye();
        channel_.flush_blocking(std::chrono::seconds{1});
        channel_.close();
        loop_.stop(0);
    }
    void flush() noexcept { channel_.flush_blocking(flush_limit); }

    self_events events_;
    event_loop& loop_;
    stream_set streams_;
    channel channel_;
    std::shared_ptr<broadcast_hub> hub_ = std::make_shared<broadcast_hub>(loop_, &channel_);

protected:
    /// fork_options::data. \throws std::system_error
    template <typename T, bool Decodes>
    const T& data() {
        if constexpr (Decodes) {
            if (!where_.data && welcome_.data_type == message_id<T>()) {
                T value{};
                auto bytes = std::as_bytes(std::span{welcome_.data});
                if (auto error = serialization::binary{}.decode(bytes, value)) {
                    throw std::system_error(error, "worker data");
                }
                where_.data = worker_data{std::move(value)};
            }
        }
        if (const T* there = worker_data_access::get<T>(where_.data)) {
            return *there;
        }
        throw std::system_error(make_error_code(errc::bad_payload), "worker data");
    }
    [[nodiscard]] bool has_data() const noexcept { return where_.data || welcome_.data_type != 0; }
    [[nodiscard]] cluster::stop_token stop_token() const noexcept {
        return where_.stop.get_token();
    }

    ~self_core() {
        heart_.cancel();
        say_goodbye();
    }
    virtual void on_user_frame(frame& arrived) = 0;
    virtual void on_gone() = 0;

private:
    friend class self_datagrams;

    static constexpr std::chrono::seconds flush_limit{30};

    void be_welcomed(const std::string& serializer);
    std::error_code change_transport(transport_memory& memory);
    listen_message question(const listen_options& options, std::error_code& error) const;
    listen_message question(const datagram_options& options, std::error_code& error) const;
    struct answer {
        std::uint32_t key = 0;
        listen_result_message result;
        unique_fd socket;
        unique_fd load; // where to tell it
    };
    answer ask(const listen_message& asked, std::error_code& error);

    inline void on_frame(frame& arrived) override;
    void on_channel_drained() override { events_.drain.emit(); }
    inline void on_channel_end() override;
    void on_violation(errc) override { on_channel_end(); }

    inline void on_server_closed(server& which) noexcept override;
    inline void on_server_finished(server& which) noexcept override;
    inline void on_server_ready(server& which) noexcept override;
    void on_taken() override { streams_.enroll(); }
    void on_server_pressure(server& which, const std::error_code& cause) override {
        events_.fd_pressure.emit({which.address(), cause});
    }
    std::shared_ptr<load_counters> load() noexcept override { return {page_, &(*page_)->load}; }
    turn_hook* bell() noexcept override { return &taken_hook_; }
    void tell_taken() {
        if (channel_.can_send()) {
            channel_.send_control({0, frame_kind::taken, 0, 0, 0});
        }
    }

    [[nodiscard]] bool listening_makes_ready() const noexcept {
        return !ready_ && !ready_deferred_;
    }
    void now_listening(server& which, bool primary_knows);
    void now_ready();
    void restore_stderr() noexcept;
    void start_beating();
    // So that the primary does not take the channel's end for its loss while main() does the rest.
    void say_goodbye() { channel_.send_control({0, frame_kind::running, 0, 1, 0}); }

    void begin_to_leave();
    void close_sockets() noexcept {
        close_all();
        datagrams_.close_all();
    }
    void tell_closed(std::uint32_t key) noexcept {
        if (key != 0 && channel_.can_send()) {
            channel_.send_control({0, frame_kind::close_listener, 0, key, 0});
        }
    }
    void leave_when_drained();
    void take_connections(frame& arrived);
    void take_lent(const frame& arrived);
    void go_on_taking();

    struct incoming {
        std::uint32_t key;
        std::uint32_t sequence;
        unique_fd fd; // empty: lost on the way, or
        int lent = -1;

        [[nodiscard]] unique_fd take() { return lent == -1 ? std::move(fd) : unique_fd{lent}; }
    };

    struct stop_loop {
        event_loop& loop;
        void operator()() const noexcept { loop.stop(1); }
    };

    worker_surroundings where_;
    flush_at_exit flusher_;
    welcome_message welcome_;
    std::shared_ptr<control_mapping> page_; // connections that outlive us are counted there
    unique_fd lasting_stderr_;              // while the primary reads what we say during the boot
    os::file_identity boot_stderr_;
    timer heart_;
    time_point next_beat_{};
    self_datagrams datagrams_{loop_, *this};
    ring_queue<incoming> incoming_;
    turn_hook taking_hook_ = turn_hook::for_member<self_core, &self_core::go_on_taking>(*this);
    turn_hook taken_hook_ = turn_hook::for_member<self_core, &self_core::tell_taken>(*this);
    std::uint32_t next_query_ = 1;
    bool ready_ = false;
    bool ready_deferred_ = false;
    bool leaving_ = false;
    bool after_disconnect_ = false;
    bool announced_ = false;
    bool drain_told_ = false;
    bool dying_ = false; // kill(): end as soon as the primary knows
    cluster::stop_callback<stop_loop> on_stop_{where_.stop.get_token(), stop_loop{loop_}};
    lifetime alive_;
};

inline void self_core::be_welcomed(const std::string& serializer) {
    std::error_code error;
    transport_memory memory;
    bool welcomed = channel_.wait(
        [](const frame_header& header) { return header.kind == frame_kind::welcome; },
        [&](frame& arrived) {
            if (!decode_wire(arrived.payload, welcome_) || arrived.descriptors.empty()) {
                error = errc::bad_frame;
            } else if (welcome_.protocol != protocol_version || welcome_.serializer != serializer) {
                error = errc::protocol_mismatch;
            } else {
                page_ = std::make_shared<control_mapping>(
                    control_mapping::open(arrived.descriptors.front().get(), error));
                auto& more = arrived.descriptors;
                std::size_t rest = welcome_.ring == 0 ? 1 : 4;
                if (more.size() < rest) { // there was no room for them here
                    error = std::make_error_code(std::errc::too_many_files_open);
                } else if (rest == 4) {
                    memory = {
                        std::move(more[1]), welcome_.ring, std::move(more[2]), std::move(more[3])};
                }
                if (more.size() > rest && os::identify(2, boot_stderr_)) {
                    lasting_stderr_ = std::move(more[rest]);
                }
            }
        });
    if (!welcomed) {
        error = errc::channel_closed;
    } else if (!error && memory.ring != 0) {
        error = change_transport(memory);
    }
    if (error) {
        throw std::system_error(error, "worker channel");
    }
    if (!welcome_.title.empty()) {
        if (where_.own_process) {
            os::set_process_title(welcome_.title);
        }
        os::set_thread_name("worker " + std::to_string(id()) + " g" + std::to_string(generation()));
    }
}

// From now on by what the primary has opened.
inline std::error_code self_core::change_transport(transport_memory& memory) {
    if (where_.join == nullptr) {
        return errc::protocol_mismatch; // this program was built for another one
    }
    return channel_.change_carrier([&](unique_fd socket, std::error_code& error) {
        return where_.join(std::move(socket), memory, error);
    });
}

inline listen_message self_core::question(const listen_options& options,
                                          std::error_code& error) const {
    listen_message asked;
    asked.fd = options.fd;
    asked.local_path = !options.path.empty();
    asked.any_host = options.host.empty() && !asked.local_path;
    asked.own_socket = options.reuse_port;
    asked.activated = options.activated;
    asked.most = options.max_cluster_connections;
    asked.drops_beyond_most = options.drop_beyond_max;
    asked.how = binding_of(options);
    asked.how.reuse_port = false; // that is the primary's business
    asked.ready = listening_makes_ready();
    asked.sheds = options.under_pressure == pressure::shed;
    error.clear();
    if (asked.local_path) {
        asked.path = socket_name(options);
    } else if (options.fd == -1 && options.activated.empty()) {
        for (const auto& each : addresses_of(options, error)) {
            asked.candidates.push_back(to_wire(each));
        }
    }
    return asked;
}

// Blocks for the primary's answer; what else arrives meanwhile is delivered later, in order.
inline self_core::answer self_core::ask(const listen_message& asked, std::error_code& error) {
    answer got;
    auto query = next_query_++;
    if (!is_connected()) {
        error = errc::channel_closed;
        return got;
    }
    channel_.send(
        {0, frame_kind::listen, 0, 0, query},
        [&](byte_buffer& out) { encode_wire(asked, out); },
        {},
        {},
        true);
    bool answered = channel_.wait(
        [&](const frame_header& header) {
            return header.kind == frame_kind::listen_result && header.sequence == query;
        },
        [&](frame& arrived) {
            got.key = arrived.header.type;
            if (!decode_wire(arrived.payload, got.result)) {
                error = errc::bad_frame;
            } else if (arrived.truncated) {
                error = errc::descriptor_truncated;
            }
            if (!arrived.descriptors.empty()) {
                got.socket = std::move(arrived.descriptors.front());
            }
            if (arrived.descriptors.size() > 1) {
                got.load = std::move(arrived.descriptors[1]);
            }
        });
    if (!answered) {
        error = errc::channel_closed;
    } else if (!error) {
        error = error_of(got.result);
    }
    return got;
}

inline server& self_core::listen(const listen_options& options,
                                 server::connection_handler handler,
                                 std::error_code& error) {
    if (options.exclusive && is_connected()) {
        auto& made = server_set::listen_alone(options, std::move(handler), error);
        if (!error) {
            now_listening(made, false);
        }
        return made;
    }
    auto& made = server_set::add(options, std::move(handler));
    auto wanted = each_address(options, error);
    for (std::size_t i = 0; !error && i != wanted.size(); ++i) {
        error = join(made, wanted[i], wanted.size() == 1);
    }
    if (error) {
        on_server_closed(made); // of some addresses the primary may have made us a member
        give_up(made);
    } else {
        now_listening(made, wanted.size() == 1);
    }
    return made;
}

// Makes one of the cluster's addresses one of the server's.
inline std::error_code
self_core::join(server& made, const listen_options& options, bool makes_ready) {
    std::error_code error;
    auto asked = question(options, error);
    asked.ready = asked.ready && makes_ready;
    answer got;
    if (!error) {
        got = ask(asked, error);
    }
    if (error) {
        return error;
    }
    auto mode = static_cast<accept_mode>(got.result.mode);
    auto& at = server_access::add_endpoint(made, got.key, from_wire(got.result.at), mode);
    if (mode != accept_mode::handed && !got.socket) {
        return errc::bad_frame;
    }
    if (got.load) {
        error = server_access::tell_load(made, at, slot(), got.load.get());
    }
    if (got.socket && !error) {
        server_access::add_socket(made, at, slot(), std::move(got.socket));
    }
    return error;
}

// The primary knows by its question that we are ready now, except when there was none, or several.
inline void self_core::now_listening(server& which, bool primary_knows) {
    if (!ready_ && ready_deferred_) {
        server_access::hold_back(which, true);
    } else if (!primary_knows) {
        ready();
    } else {
        now_ready();
    }
}

inline void self_core::ready() {
    if (!ready_) {
        now_ready();
        hold_back_all(false);
        datagrams_.hold_back_all(false);
        channel_.send_control({0, frame_kind::ready, 0, 0, 0});
    }
}

// What we say from now on is no business of the primary's any more.
inline void self_core::now_ready() {
    ready_ = true;
    restore_stderr();
}

inline void self_core::restore_stderr() noexcept {
    os::file_identity now;
    if (lasting_stderr_ && os::identify(2, now) && now == boot_stderr_) {
        os::replace_descriptor(2, lasting_stderr_.get());
    }
    lasting_stderr_.reset();
}

// The loop answers for itself: no other thread could know whether it still turns.
inline void self_core::start_beating() {
    if (!ready_deferred_) {
        restore_stderr();
    }
    channel_.send_control({0, frame_kind::running, 0, 0, 0});
    std::chrono::nanoseconds period{welcome_.beat_period};
    if (period <= period.zero()) {
        return; // nobody looks
    }
    next_beat_ = std::chrono::steady_clock::now() + period;
    heart_ = loop_.every(period, [this, period] {
        auto late = std::chrono::duration_cast<std::chrono::microseconds>(
            std::chrono::steady_clock::now() - next_beat_);
        (*page_)->lag.store(static_cast<std::uint32_t>(late.count() < 0 ? 0 : late.count()),
                            std::memory_order_relaxed);
        (*page_)->beats.fetch_add(1, std::memory_order_relaxed);
        next_beat_ = loop_.now() + period;
    });
    heart_.unref();
}

inline listener self_core::open_listener(const listen_options& options, std::error_code& error) {
    if (!options.addresses.empty()) {
        error = std::make_error_code(std::errc::invalid_argument); // it is one socket
        return {};
    }
    if (options.exclusive) {
        return bind(options, error);
    }
    auto asked = question(options, error);
    asked.own_socket = true;
    answer got;
    if (!error) {
        got = ask(asked, error);
    }
    if (!error && asked.ready) {
        now_ready();
    }
    return listener{error ? unique_fd{} : std::move(got.socket)};
}

inline void self_core::on_frame(frame& arrived) {
    switch (arrived.header.kind) {
    case frame_kind::connections:
        take_connections(arrived);
        break;
    case frame_kind::lent_connections:
        take_lent(arrived);
        break;
    case frame_kind::adopt_listener:
        if (server* found = find(arrived.header.type);
            found != nullptr && !arrived.descriptors.empty()) {
            server_access::add_socket(*found,
                                      *server_access::find(*found, arrived.header.type),
                                      arrived.header.sequence,
                                      std::move(arrived.descriptors.front()));
        }
        break;
    case frame_kind::abandon_listener:
        if (server* found = find(arrived.header.type)) {
            server_access::remove_socket(
                *found, *server_access::find(*found, arrived.header.type), arrived.header.sequence);
        }
        break;
    case frame_kind::recheck:
        if (datagram_socket* found = datagrams_.find(arrived.header.type)) {
            datagram_access::recheck(*found);
        } else if (server* shared = find(arrived.header.type)) {
            server_access::recheck(*shared);
        }
        break;
    case frame_kind::refork:
        if (where_.refork && !arrived.descriptors.empty()) {
            where_.refork(std::move(arrived.descriptors.front()));
        }
        break;
    case frame_kind::disconnect:
        after_disconnect_ = true;
        announced_ = true;
        begin_to_leave();
        break;
    case frame_kind::shutdown:
        events_.shutdown.emit();
        break;
    case frame_kind::announce_result:
        announced_ = true;
        if (dying_) {
            close();
        } else {
            begin_to_leave();
        }
        break;
    case frame_kind::post:
        if (auto error = hub_->on_post(channel_, arrived)) {
            events_.error.emit(error);
        }
        break;
    case frame_kind::message:
    case frame_kind::request:
    case frame_kind::reply:
    case frame_kind::failure:
    case frame_kind::moved:
        on_user_frame(arrived);
        break;
    default:
        break;
    }
}

// The primary is gone, or has let us go at once: so do we. After a disconnect the channel is closed
// by us, never seen here.
inline void self_core::on_channel_end() {
    channel_.close();
    leaving_ = true;
    if (welcome_.grace > 0) { // it outlives the primary until its connections have ended
        loop_.after(std::chrono::nanoseconds{welcome_.grace}, [this] { loop_.stop(1); }).unref();
        loop_.defer(alive_.guard([this] { begin_to_leave(); }));
    } else {
        where_.stop.request_stop(); // whoever computes for us
        loop_.stop(0);
    }
    on_gone();
}

inline void self_core::disconnect() {
    if (leaving_ || !channel_.is_open()) {
        return;
    }
    leaving_ = after_disconnect_ = true;
    close_sockets();
    channel_.send_control({0, frame_kind::announce, 0, 0, 0});
}

inline void self_core::kill() {
    if (dying_) {
        return;
    }
    dying_ = true;
    bool told = announced_;
    leaving_ = after_disconnect_ = true;
    if (!channel_.can_send() || told) {
        close();
        return;
    }
    channel_.send_control({0, frame_kind::announce, 0, 0, 0});
}

inline void self_core::begin_to_leave() {
    leaving_ = true;
    if (std::exchange(drain_told_, true)) {
        return;
    }
    struct go_on { // also when a handler throws
        self_core& self;
        ~go_on() {
            self.close_sockets();
            self.streams_.drain();
            self.loop_.defer(self.alive_.guard([&owner = self] { owner.leave_when_drained(); }));
        }
    } guard{*this};
    events_.disconnect.emit();
}

// Every server is closed and its last connection has ended: nothing to tell the primary any more.
inline void self_core::leave_when_drained() {
    if (!drain_told_ || !empty() || !datagrams_.empty() || !channel_.is_open()) {
        return;
    }
    if (channel_.queued() != 0) {
        channel_.flush();
        loop_.after(std::chrono::milliseconds{10}, alive_.guard([this] { leave_when_drained(); }));
        return;
    }
    channel_.close();
    on_gone();
}

inline void self_core::take_connections(frame& arrived) {
    auto sequence = arrived.header.sequence;
    for (std::size_t i = 0; i != arrived.header.descriptors; ++i) {
        unique_fd fd =
            i < arrived.descriptors.size() ? std::move(arrived.descriptors[i]) : unique_fd{};
        incoming_.push_back({arrived.header.type, sequence++, std::move(fd)});
    }
    go_on_taking();
}

// They are the primary's until they are claimed.
inline void self_core::take_lent(const frame& arrived) {
    auto sequence = arrived.header.sequence;
    for (auto rest = arrived.payload; rest.size() >= sizeof(int) && channel_.is_between_threads();
         rest = rest.subspan(sizeof(int))) {
        incoming next{arrived.header.type, sequence++, {}};
        std::memcpy(&next.lent, rest.data(), sizeof next.lent);
        incoming_.push_back(std::move(next));
    }
    go_on_taking();
}

inline void self_core::go_on_taking() {
    struct resume { // a handler that throws: the others are taken in the next turn
        self_core& self;
        bool refused = false;
        ~resume() {
            if ((*self.page_)->asked.take() || refused) {
                self.tell_taken();
            }
            if (!self.incoming_.empty()) {
                self.loop_.at_turn_end(self.taking_hook_);
            }
        }
    } guard{*this};
    while (!incoming_.empty()) {
        auto next = std::move(incoming_.front());
        incoming_.pop_front();
        server* found = find(next.key);
        bool lost = !next.fd && next.lent == -1;
        if (found == nullptr || lost || !server_access::welcomes(*found)) {
            if (!(*page_)->refuse(next.sequence)) {
                continue;
            }
            guard.refused = true;
            if (found != nullptr && lost) {
                server_access::pause_for_resources(*found,
                                                   make_error_code(errc::descriptor_truncated));
            }
            continue;
        }
        if ((*page_)->claim(next.sequence)) { // else we were late and another worker has it
            bool copied = next.lent == -1;
            server_access::take(*found,
                                next.take(),
                                {.by_primary = true, .copied = copied, .sequence = next.sequence});
        }
    }
}

inline void self_core::on_server_closed(server& which) noexcept {
    for (const auto& each : server_access::endpoints(which)) {
        tell_closed(each->key());
    }
}

inline void self_core::on_server_finished(server& which) noexcept {
    server_set::on_server_finished(which);
    loop_.defer(alive_.guard([this] { leave_when_drained(); }));
}

inline void self_core::on_server_ready(server& which) noexcept {
    for (const auto& each : server_access::endpoints(which)) {
        if (each->mode() == accept_mode::handed && channel_.can_send()) {
            channel_.send_control({0, frame_kind::willing, 0, each->key(), 0});
        }
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#include "ring_queue.hpp"
#include "self_datagrams.hpp"
#include "self_sharing.hpp"

#endif // CLUSTER_DETAIL_SELF_CORE_HPP
