// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_NATS_CORE_HPP
#define CLUSTER_ADAPTERS_DETAIL_NATS_CORE_HPP

#include "../../bus/concept.hpp"
#include "../../bus/detail/numbered_inbox.hpp"
#include "../../byte_buffer.hpp"
#include "../../detail/os.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "../../unique_fd.hpp"
#include "../nats_options.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nats/nats.h>

namespace cluster {
inline namespace v0 {
namespace detail {

class nats_core;

/// What cnats' threads know of a bus: a number, by which they reach its loop for as long as there is
/// one. cnats calls back, from whatever thread, even when the connection is destroyed.
class nats_links {
public:
    static nats_links& instance() {
        static auto* all = new nats_links; // cnats' threads may outlive the objects of this program
        return *all;
    }
    void* add(nats_core& core) {
        std::lock_guard lock{mutex_};
        ++last_;
        cores_[last_] = &core;
        return reinterpret_cast<void*>(last_); // never null
    }
    void remove(void* link) noexcept {
        std::lock_guard lock{mutex_};
        cores_.erase(reinterpret_cast<std::uintptr_t>(link));
    }
    inline void post(void* link, move_only_function<void(nats_core&)> task);

private:
    std::mutex mutex_;
    std::uintptr_t last_ = 0;
    std::unordered_map<std::uintptr_t, nats_core*> cores_;
};

inline std::error_code error_of(natsStatus status) noexcept {
    switch (status) {
    case NATS_OK:
        return {};
    case NATS_INSUFFICIENT_BUFFER:
        return errc::would_block;
    case NATS_MAX_PAYLOAD:
        return errc::message_too_large;
    case NATS_INVALID_SUBJECT:
    case NATS_INVALID_ARG:
        return std::make_error_code(std::errc::invalid_argument);
    case NATS_NO_MEMORY:
        return std::make_error_code(std::errc::not_enough_memory);
    case NATS_TIMEOUT:
    case NATS_STALE_CONNECTION:
        return errc::request_timeout;
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
        return std::make_error_code(std::errc::permission_denied);
    case NATS_PROTOCOL_ERROR:
        return errc::bad_frame;
    default:
        return errc::channel_closed;
    }
}

/// A connection of cnats whose socket is read and written in our loop. The loop watches a copy of
/// the socket, whose number stays ours when cnats, in a thread of its own, closes and reconnects.
class nats_core final : public numbered_inbox {
public:
    static constexpr std::size_t max_payload = 1024 * 1024 - 1024; // the server's default is 1 MiB

    explicit nats_core(nats_options options)
        : numbered_inbox{options.node, max_payload, false},
          options_{std::move(options)},
          direct_{direct_to(node())} {
        if (!valid_bus_name(options_.prefix)) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                                    "nats_bus: the prefix");
        }
        link_ = nats_links::instance().add(*this);
        try {
            connect();
        } catch (...) {
            nats_links::instance().remove(link_);
            throw;
        }
    }
    ~nats_core() override {
        nats_links::instance().remove(link_);
        watch_.stop();
        subscriptions_.clear();
        probe_.reset();
        if (connection_ != nullptr) {
            natsConnection_ProcessWriteEvent(connection_); // last words
            natsConnection_Destroy(connection_);
        }
    }

    std::error_code
    send(const std::string_view* to, std::string_view subject, std::span<const std::byte> bytes) {
        auto channel = (to == nullptr ? all() : direct_to(*to)) + std::string{subject};
        outgoing made{channel, {}};
        put_numbered(channel, bytes, made.bytes);
        auto error = up_ && outbox_.empty() ? write(made) : std::error_code{errc::channel_closed};
        if (error == errc::channel_closed) {
            error = keep(std::move(made));
        }
        if (!error) {
            gone(channel);
        }
        return error;
    }

    bus_subscription
    subscribe_group(std::string_view subject, std::string_view group, bus_handler handler) {
        if (!valid_bus_name(subject) || !valid_bus_name(group)) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                                    "nats_bus: the subject or the group");
        }
        auto topic = std::string{group} + group_mark + std::string{subject};
        return subscribe_topic(topic,
                               [name = std::string{subject},
                                handler = std::move(handler)](const bus_message& m) mutable {
                                   handler({m.from, name, m.payload});
                               });
    }

private:
    friend class nats_links;

    static constexpr char group_mark = '>'; // in no name

    struct unsubscribe {
        void operator()(natsSubscription* one) const noexcept {
            natsSubscription_Unsubscribe(one);
            natsSubscription_Destroy(one);
        }
    };
    using owned_subscription = std::unique_ptr<natsSubscription, unsubscribe>;

    [[nodiscard]] std::string all() const { return options_.prefix + ".all."; }
    // With the length, since a name may have dots.
    [[nodiscard]] std::string direct_to(std::string_view who) const {
        return options_.prefix + ".to." + std::to_string(who.size()) + '.' + std::string{who} + '.';
    }

    // ---- what goes out: through cnats when it is connected, else it waits here ----

    struct outgoing {
        std::string subject;
        byte_buffer bytes;
        [[nodiscard]] std::size_t weight() const noexcept { return bytes.size() + subject.size(); }
    };

    std::error_code write(const outgoing& one) {
        auto waiting = natsConnection_Buffered(connection_);
        if (waiting > 0 && static_cast<std::size_t>(waiting) + one.weight() > options_.queue) {
            return errc::would_block;
        }
        return error_of(natsConnection_Publish(connection_,
                                               one.subject.c_str(),
                                               one.bytes.data(),
                                               static_cast<int>(one.bytes.size())));
    }
    std::error_code keep(outgoing one) {
        if (queued_ + one.weight() > options_.queue) {
            return errc::would_block;
        }
        queued_ += one.weight();
        outbox_.push_back(std::move(one));
        return {};
    }
    void flush() {
        std::uint64_t lost = 0;
        std::error_code why;
        while (!outbox_.empty()) {
            auto error = write(outbox_.front());
            if (error == errc::channel_closed || error == errc::would_block) {
                break; // the next connection takes it, or this one when it has written some
            }
            lost += error ? 1U : 0U;
            why = error ? error : why;
            queued_ -= outbox_.front().weight();
            outbox_.pop_front();
        }
        if (lost != 0) {
            tell({.what = bus_change::lost, .why = why, .count = lost});
        }
    }

    // ---- the connection, and cnats' threads ----

    void connect() {
        natsOptions* made = nullptr;
        auto check = [](natsStatus status) {
            if (status != NATS_OK) {
                throw std::system_error(error_of(status), natsStatus_GetText(status));
            }
        };
        check(natsOptions_Create(&made));
        std::unique_ptr<natsOptions, void (*)(natsOptions*)> owned{made, natsOptions_Destroy};
        auto ping = options_.keep_alive.count();
        auto wait = options_.reconnect_wait.count();
        check(natsOptions_SetURL(made, options_.url.c_str()));
        check(natsOptions_SetName(made, node().c_str()));
        check(natsOptions_SetNoEcho(made, true));
        check(natsOptions_SetTimeout(made, options_.timeout.count()));
        check(natsOptions_SetPingInterval(made, ping));
        check(natsOptions_SetMaxPingsOut(made, 2));
        check(natsOptions_SetMaxReconnect(made, -1));
        check(natsOptions_SetReconnectWait(made, wait));
        check(natsOptions_SetReconnectJitter(made, wait / 4 + 1, wait / 4 + 1));
        check(natsOptions_SetReconnectBufSize(made, static_cast<int>(options_.queue)));
        check(natsOptions_SetEventLoop(made, link_, on_attach, on_read, on_write, on_detach));
        check(natsOptions_SetRetryOnFailedConnect(made, true, on_connected, link_));
        check(natsOptions_SetReconnectedCB(made, on_connected, link_));
        check(natsOptions_SetDisconnectedCB(made, on_disconnected, link_));
        check(natsOptions_SetClosedCB(made, on_disconnected, link_));
        // Without one cnats prints to standard error.
        check(natsOptions_SetErrorHandler(
            made, [](natsConnection*, natsSubscription*, natsStatus, void*) {}, link_));
        auto status = natsConnection_Connect(&connection_, made);
        if (status != NATS_OK && status != NATS_NOT_YET_CONNECTED) {
            throw std::system_error(error_of(status), "nats_bus: " + options_.url);
        }
        if (status == NATS_OK) {
            begin();
        } else {
            cut_off(errc::channel_closed, natsStatus_GetText(status));
        }
    }

    static void post(void* link, move_only_function<void(nats_core&)> task) {
        nats_links::instance().post(link, std::move(task));
    }
    static natsStatus on_attach(void** user, void* loop, natsConnection*, natsSock socket) {
        *user = loop;
        unique_fd copy{os::duplicate(socket)};
        if (!copy) {
            return NATS_ERR;
        }
        post(loop, [copy = std::move(copy)](nats_core& core) mutable {
            core.watch_.stop();
            core.socket_ = std::move(copy);
            core.wanted_ = os::io::none;
            core.want(os::io::readable, true);
        });
        return NATS_OK;
    }
    static natsStatus on_read(void* user, bool add) {
        post(user, [add](nats_core& core) { core.want(os::io::readable, add); });
        return NATS_OK;
    }
    static natsStatus on_write(void* user, bool add) {
        post(user, [add](nats_core& core) { core.want(os::io::writable, add); });
        return NATS_OK;
    }
    static natsStatus on_detach(void* user) {
        post(user, [](nats_core& core) {
            core.watch_.stop();
            core.socket_.reset();
        });
        return NATS_OK;
    }
    static void on_connected(natsConnection*, void* link) {
        post(link, [](nats_core& core) { core.begin(); });
    }
    static std::pair<std::error_code, std::string> last_error(natsConnection* connection) {
        const char* text = nullptr;
        auto status = natsConnection_GetLastError(connection, &text);
        return {error_of(status == NATS_OK ? NATS_CONNECTION_CLOSED : status),
                text == nullptr ? std::string{} : std::string{text}};
    }
    static void on_disconnected(natsConnection* connection, void* link) {
        post(link, [why = last_error(connection)](nats_core& core) {
            core.cut_off(why.first, why.second);
        });
    }
    // ---- in our thread ----

    void want(os::io what, bool on) {
        auto bits = static_cast<std::uint32_t>(wanted_);
        auto bit = static_cast<std::uint32_t>(what);
        wanted_ = static_cast<os::io>(on ? bits | bit : bits & ~bit);
        if (wanted_ == os::io::none) {
            watch_.stop(); // else the end of a dead socket would be told over and over
        } else if (watch_.active()) {
            watch_.update(wanted_);
        } else if (socket_) {
            watch_.start<&nats_core::on_ready>(loop(), socket_.get(), wanted_, *this);
        }
    }

    void on_ready(os::io what) {
        if (what & (os::io::readable | os::io::hangup)) {
            natsConnection_ProcessReadEvent(connection_);
        }
        if (what & os::io::writable) {
            natsConnection_ProcessWriteEvent(connection_);
        }
        drain();
        if (up_ && !outbox_.empty()) {
            flush();
        }
    }

    // There is a connection, and the server is told of all subscriptions. When it says that nobody
    // answers our question it has seen them: connections are served in order.
    void begin() {
        told_ = false;
        natsSubscription* made = nullptr;
        natsInbox* inbox = nullptr;
        if (natsInbox_Create(&inbox) != NATS_OK) {
            return;
        }
        if (natsConnection_SubscribeSync(&made, connection_, inbox) == NATS_OK) {
            probe_.reset(made);
            auto nowhere = options_.prefix + ".nowhere." + random_bus_node();
            natsConnection_PublishRequest(connection_, nowhere.c_str(), inbox, "", 0);
        }
        natsInbox_Destroy(inbox);
    }
    void cut_off(std::error_code why, const std::string& text) {
        probe_.reset();
        up_ = false;
        if (!std::exchange(told_, true)) {
            tell({.what = bus_change::disconnected, .why = why, .text = text});
        }
    }

    template <typename F>
    static void for_each_message(natsSubscription* from, F f) {
        for (;;) {
            natsMsg* got = nullptr;
            auto status = natsSubscription_NextMsg(&got, from, 0);
            if (status == NATS_OK) {
                const std::unique_ptr<natsMsg, void (*)(natsMsg*)> owned{got, natsMsg_Destroy};
                f(*got);
            } else if (status != NATS_NO_RESPONDERS) { // such a message may be anybody's
                return;
            }
        }
    }
    void drain() {
        natsMsg* none = nullptr;
        bool answered =
            probe_ && natsSubscription_NextMsg(&none, probe_.get(), 0) == NATS_NO_RESPONDERS;
        natsMsg_Destroy(none);
        if (answered) {
            probe_.reset();
            up_ = true;
            tell({.what = bus_change::connected});
            flush();
        }
        for (const auto& each : subscriptions_) {
            bool group = each.topic.find(group_mark) != std::string::npos;
            for_each_message(each.from.get(),
                             [&](natsMsg& message) { on_message(each.topic, group, message); });
        }
    }

    void on_message(const std::string& topic, bool group, natsMsg& message) {
        std::string_view data{natsMsg_GetData(&message),
                              static_cast<std::size_t>(natsMsg_GetDataLength(&message))};
        receive(natsMsg_GetSubject(&message),
                topic,
                std::as_bytes(std::span{data}),
                group ? gaps::expected : gaps::told);
    }

    void on_subscribed(const std::string& topic) override {
        auto mark = topic.find(group_mark);
        natsSubscription* made = nullptr;
        if (mark != std::string::npos) {
            auto group = topic.substr(0, mark);
            auto subject = all() + topic.substr(mark + 1);
            if (natsConnection_QueueSubscribeSync(
                    &made, connection_, subject.c_str(), group.c_str()) == NATS_OK) {
                keep(topic, made);
            }
            return;
        }
        for (const auto& prefix : {all(), direct_}) {
            auto subject = prefix + topic;
            if (natsConnection_SubscribeSync(&made, connection_, subject.c_str()) == NATS_OK) {
                keep(topic, made);
            }
        }
    }
    void keep(const std::string& topic, natsSubscription* made) {
        natsSubscription_SetPendingLimits(made, -1, -1); // taken after each read
        subscriptions_.push_back({topic, owned_subscription{made}});
    }
    void on_unsubscribed(const std::string& topic) noexcept override {
        std::erase_if(subscriptions_, [&](const auto& each) { return each.topic == topic; });
    }

    struct subscribed {
        std::string topic;
        owned_subscription from;
    };

    nats_options options_;
    std::string direct_;
    void* link_ = nullptr;
    std::deque<outgoing> outbox_;
    std::size_t queued_ = 0; // bytes in it
    natsConnection* connection_ = nullptr;
    std::vector<subscribed> subscriptions_;
    owned_subscription probe_;
    bool up_ = false;
    bool told_ = false; // that we are cut off
    os::io wanted_ = os::io::none;
    unique_fd socket_;
    io_watch watch_;
};

inline void nats_links::post(void* link, move_only_function<void(nats_core&)> task) {
    std::lock_guard lock{mutex_};
    auto found = cores_.find(reinterpret_cast<std::uintptr_t>(link));
    if (found != cores_.end()) {
        auto* core = found->second;
        core->loop().post([core, task = std::move(task)]() mutable { task(*core); });
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_NATS_CORE_HPP
