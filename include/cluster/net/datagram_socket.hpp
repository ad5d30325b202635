// SPDX-License-Identifier: MIT
#ifndef CLUSTER_NET_DATAGRAM_SOCKET_HPP
#define CLUSTER_NET_DATAGRAM_SOCKET_HPP

#include "../detail/algorithm.hpp"
#include "../detail/chrono.hpp"
#include "../detail/control_page.hpp"
#include "../detail/datagram_queue.hpp"
#include "../detail/lifetime.hpp"
#include "../detail/memory.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/os.hpp"
#include "../detail/turn_hook.hpp"
#include "../event_loop.hpp"
#include "../send_result.hpp"
#include "address.hpp"
#include "datagram_options.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

class datagram_socket;

/// What a datagram socket has done so far. The calls are system calls that brought or took at least
/// one datagram: fewer than datagrams, under load.
struct datagram_counters {
    std::uint64_t received = 0;
    /// System calls.
    std::uint64_t receive_calls = 0;
    std::uint64_t truncated = 0; ///< longer than datagram_options::max_size, not delivered
    std::uint64_t sent = 0;
    /// System calls.
    std::uint64_t send_calls = 0;
    std::uint64_t dropped = 0; ///< not sent: the send queue was full, or the socket has closed
    std::uint64_t failed = 0;  ///< not sent: the system has refused them (on_error)
};

namespace detail {

/// Who a datagram socket reports to.
class datagram_owner {
public:
    virtual void on_datagram_closed(datagram_socket& which) noexcept = 0;   // receives no more
    virtual void on_datagram_finished(datagram_socket& which) noexcept = 0; // and may go
    /// Where its datagrams are counted; null: nowhere.
    virtual std::shared_ptr<load_counters> load() noexcept { return {}; }

protected:
    ~datagram_owner() = default;
};

struct datagram_access;

} // namespace detail

/// A UDP socket in a role's loop: what bind() returns. The role owns it; a reference stays good
/// after the socket's end until 64 more have ended, and every call on an ended one does nothing.
///
/// Never blocks. Same thread as the loop. What arrives on the network ends nothing: neither strange
/// datagrams nor refusals (ICMP). UDP may lose datagrams, and so may this class, which then counts
/// them: when the send queue is full, and when close() meets datagrams that are still on their way.
class datagram_socket {
public:
    using bytes = std::span<const std::byte>;
    /// Called with each datagram and who has sent it.
    using message_handler = detail::move_only_function<void(bytes, const cluster::address&)>;

    /// Where it is really bound, with the port that the system chose.
    [[nodiscard]] const cluster::address& address() const noexcept { return address_; }
    [[nodiscard]] bool is_open() const noexcept { return open_; }

    /// Sends one datagram. All that are sent in one turn of the loop leave together at its end; the
    /// bytes are copied. An address of no family stands for the peer of a connected socket.
    /// \returns `queued` when the system's buffer is full and it waits, `full` when it is dropped
    /// because too many wait, `closed` after close(). None of them says that it has arrived; what
    /// the system refuses (too long, no route) is told to on_error.
    send_result send_to(bytes datagram, const cluster::address& to) {
        if (!open_) {
            return send_result::closed;
        }
        if (!queue_.push(datagram, to)) {
            ++counters_.dropped;
            return send_result::full;
        }
        if (blocked_) {
            return send_result::queued;
        }
        loop_.at_turn_end(flush_hook_);
        if (queue_.size() >= detail::os::max_outgoing || queue_.bytes() >= bytes_per_call) {
            send_some(); // what the system refuses stays, and is told at the end of the turn
        }
        return send_result::ok;
    }
    /// The same with a text.
    send_result send_to(std::string_view text, const cluster::address& to) {
        return send_to(std::as_bytes(std::span{text}), to);
    }

    /// Called with each datagram, which is good until the handler returns, and its sender. An empty
    /// datagram is one, too. Takes the place of bind()'s handler, also from inside it.
    template <typename F>
    datagram_socket& on_message(F&& f) {
        if (open_) {
            (delivering_ ? next_handler_ : handler_) = message_handler{std::forward<F>(f)};
            update_watch();
        }
        return *this;
    }

    /// Called with what the system says about a datagram that it refuses, and its receiver; or about
    /// one that went out before (refused by its receiver's machine), then without one. The socket
    /// goes on.
    template <typename F>
    datagram_socket& on_error(F&& f) {
        on_error_ = std::forward<F>(f);
        return *this;
    }

    /// Called once after close().
    template <typename F>
    datagram_socket& on_close(F&& f) {
        on_close_ = std::forward<F>(f);
        return *this;
    }

    /// Sends what the system takes at once and closes. Others who share the socket go on.
    /// Idempotent.
    void close() noexcept {
        if (open_) {
            shut();
            owner_.on_datagram_closed(*this);
            loop_.defer(alive_.guard([this] { finish(); }));
        }
    }

    /// A socket that is not `ref`ed does not keep the worker alive.
    void ref() noexcept {
        refed_ = true;
        hold(open_);
    }
    void unref() noexcept {
        refed_ = false;
        hold(false);
    }

    /// Receives what is sent to a multicast group, by the named interface ("eth0"; empty: the
    /// system's choice). Membership, like everything in set_multicast(), belongs to the socket, and
    /// so to all workers who share it; it ends when the last of them closes it. Idempotent.
    /// \throws std::system_error (EINVAL: no group; ENODEV: no such interface)
    void join_group(const cluster::address& group, const std::string& interface_name = {}) {
        throw_if(change_group(group, interface_name, true), "join " + group.host());
    }
    void join_group(const cluster::address& group,
                    const std::string& interface_name,
                    std::error_code& error) noexcept {
        error = change_group(group, interface_name, true);
    }
    void leave_group(const cluster::address& group, const std::string& interface_name = {}) {
        throw_if(change_group(group, interface_name, false), "leave " + group.host());
    }
    void leave_group(const cluster::address& group,
                     const std::string& interface_name,
                     std::error_code& error) noexcept {
        error = change_group(group, interface_name, false);
    }
    /// \throws std::system_error
    void set_multicast(const multicast_options& options) {
        throw_if(change_multicast(options), "set_multicast");
    }
    void set_multicast(const multicast_options& options, std::error_code& error) noexcept {
        error = change_multicast(options);
    }

    /// What it has done so far.
    [[nodiscard]] const datagram_counters& counters() const noexcept { return counters_; }
    /// Borrows the descriptor; -1 once closed.
    [[nodiscard]] int native_handle() const noexcept { return fd_.get(); }

    /// `shared`: others receive from the same socket.
    datagram_socket(detail::datagram_owner& owner,
                    event_loop& loop,
                    std::uint32_t key,
                    unique_fd fd,
                    const datagram_options& options,
                    bool shared,
                    message_handler handler)
        : owner_{owner},
          loop_{loop},
          key_{key},
          fd_{std::move(fd)},
          address_{detail::os::local_address(fd_.get())},
          max_size_{detail::clamp<std::size_t>(options.max_size, 1, datagram_options::longest)},
          most_{detail::clamp<std::size_t>(options.batch, 1, 256)},
          shared_{shared},
          handler_{std::move(handler)},
          queue_{options.send_queue},
          load_{owner.load()} {
        watch_.keep_alive(false); // hold() decides
        if (open_) {
            detail::os::set_nonblocking(fd_.get(), true);
            hold(true);
            update_watch();
        }
    }
    ~datagram_socket() {
        if (open_) {
            shut();
        }
    }
    datagram_socket(datagram_socket&&) = delete;
    datagram_socket& operator=(datagram_socket&&) = delete;

private:
    friend struct detail::datagram_access;

    // Of those who wait the kernel always wakes the same one, which would get everything. Registering
    // anew after a few wakes rotates its list.
    static constexpr int wakes_per_registration = 16;
    static constexpr std::size_t bytes_per_call = 64 * 1024;
    static constexpr std::chrono::milliseconds patience{10};

    [[nodiscard]] bool receives() const noexcept {
        return (handler_ || next_handler_) && !held_back_;
    }
    void update_watch();
    void on_ready(detail::os::io what);
    void receive();
    void deliver();
    void flush();
    int send_some() noexcept;
    void refused(int error);
    void tell_error(int error, const cluster::address& to) {
        if (on_error_) {
            on_error_({error, std::system_category()}, to);
        }
    }
    void rest_a_while();
    void recheck() {
        if (watch_.active()) {
            watch_.stop();
            update_watch();
        }
    }
    void take_next_handler() noexcept {
        if (next_handler_) {
            handler_ = std::move(next_handler_);
            next_handler_ = {};
        }
    }
    // A worker that is not ready yet receives nothing.
    void hold_back(bool on) {
        held_back_ = on;
        update_watch();
    }
    void shut() noexcept;
    void finish();
    void hold(bool wanted) noexcept {
        wanted = wanted && refed_;
        if (std::exchange(holding_, wanted) != wanted) {
            wanted ? loop_.ref() : loop_.unref();
        }
    }

    std::error_code change_group(const cluster::address& group,
                                 const std::string& interface_name,
                                 bool join) noexcept;
    std::error_code change_multicast(const multicast_options& options) noexcept;
    static void throw_if(std::error_code error, const std::string& what) {
        if (error) {
            throw std::system_error(error, what);
        }
    }

    detail::datagram_owner& owner_;
    event_loop& loop_;
    std::uint32_t key_;
    unique_fd fd_;
    detail::io_watch watch_;
    detail::os::io watched_ = detail::os::io::none;
    cluster::address address_;
    std::size_t max_size_;
    std::size_t most_;
    bool shared_;
    bool open_ = static_cast<bool>(fd_);
    bool blocked_ = false; // the system's send buffer is full
    bool held_back_ = false;
    bool delivering_ = false;
    bool refed_ = true;
    bool holding_ = false;
    int wakes_ = 0; // since it was registered last
    message_handler handler_;
    message_handler next_handler_;
    detail::move_only_function<void(std::error_code, const cluster::address&)> on_error_;
    detail::move_only_function<void()> on_close_;
    std::unique_ptr<detail::os::datagram_batch> batch_; // made when something arrives
    std::size_t delivered_ = 0;                         // of the batch
    detail::datagram_queue queue_;
    datagram_counters counters_;
    std::shared_ptr<detail::load_counters> load_; // of the whole process
    timer pause_;
    detail::turn_hook flush_hook_ =
        detail::turn_hook::for_member<datagram_socket, &datagram_socket::flush>(*this);
    detail::turn_hook deliver_hook_ =
        detail::turn_hook::for_member<datagram_socket, &datagram_socket::deliver>(*this);
    detail::lifetime alive_;
};

namespace detail {

/// The library's own way into a datagram socket.
struct datagram_access {
    static std::uint32_t key(const datagram_socket& of) noexcept { return of.key_; }
    static void hold_back(datagram_socket& which, bool on) { which.hold_back(on); }
    /// Looks for datagrams that another one was woken for, who is gone.
    static void recheck(datagram_socket& which) { which.recheck(); }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#include "../detail/datagram_io.hpp"

#endif // CLUSTER_NET_DATAGRAM_SOCKET_HPP
