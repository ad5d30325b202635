// SPDX-License-Identifier: MIT
#ifndef CLUSTER_WORKER_HPP
#define CLUSTER_WORKER_HPP

#include "detail/primary_core.hpp"
#include "detail/worker_core.hpp"
#include "event.hpp"
#include "fwd.hpp"
#include "messaging.hpp"

#include <cstdint>
#include <memory>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The primary's handle on one worker: what fork() returns and what handlers get. The primary owns
/// it; a reference stays good after the worker's death until 1,024 more have died. Everything from
/// the primary's thread; nothing blocks, nothing throws because a worker is dead.
template <typename Cluster>
class basic_worker final
    : public detail::worker_core,
      public detail::message_sender<basic_worker<Cluster>, typename Cluster::serializer_type> {
    using serializer = typename Cluster::serializer_type;
    using sender = detail::message_sender<basic_worker, serializer>;
    using table = detail::message_table<basic_worker, serializer>;

public:
    template <typename Reply>
    using responder = basic_responder<Reply, serializer>;

    /// Calls `handler` for what happens to this worker; see cluster/event.hpp for the events. Runs
    /// before the primary's handlers of the same event.
    template <typename Event, typename F>
    subscription on(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), false);
    }
    template <typename Event, typename F>
    subscription once(Event which, F&& handler) {
        return add(which, std::forward<F>(handler), true);
    }

    /// Calls `handler` with this worker's messages of the type that it takes. Messages that came
    /// before wait for it. Runs behind the primary's handlers of the same type.
    template <typename F>
    subscription on_message(F&& handler) {
        auto added = table_.on_message(std::forward<F>(handler));
        claim();
        return added;
    }
    /// Answers this worker's requests of the type that `handler` takes, before the primary's
    /// handler.
    template <typename F>
    void on_request(F&& handler) {
        table_.on_request(std::forward<F>(handler));
        claim();
    }

private:
    friend class basic_primary<Cluster>;
    friend class detail::message_sender<basic_worker, serializer>;

    basic_worker(detail::primary_core& primary,
                 table& shared,
                 std::uint32_t id,
                 std::uint32_t slot,
                 fork_options options)
        : detail::worker_core{primary, id, slot, std::move(options)},
          sender{primary.loop_},
          shared_{shared} {}
    ~basic_worker() = default;

    static detail::owned_worker make(detail::primary_core& primary,
                                     table& shared,
                                     std::uint32_t id,
                                     std::uint32_t slot,
                                     fork_options options) {
        auto destroy = [](detail::worker_core* one) { delete static_cast<basic_worker*>(one); };
        return {new basic_worker{primary, shared, id, slot, std::move(options)}, destroy};
    }

    detail::channel& messaging_channel() noexcept { return this->channel_; }
    event_loop& messaging_loop() noexcept { return this->loop_; }

    template <typename Event, typename F>
    subscription add(Event which, F&& handler, bool once) {
        return emitter_for(this->events(), which)
            .add(
                [f = std::forward<F>(handler)](detail::worker_core& one,
                                               const auto&... rest) mutable {
                    detail::call_flexibly(f, static_cast<basic_worker&>(one), rest...);
                },
                once);
    }

    void on_user_frame(detail::frame& arrived) override {
        using detail::frame_kind;
        if (arrived.header.kind == frame_kind::reply) {
            this->requests_.on_reply(arrived);
        } else if (arrived.header.kind == frame_kind::failure) {
            this->requests_.on_failure(arrived);
        } else {
            receive(arrived);
        }
    }

    void receive(detail::frame& arrived) {
        bool request = arrived.header.kind == detail::frame_kind::request;
        auto passed = arrived.descriptors.empty() ? (arrived.truncated ? handle::lost() : handle{})
                                                  : handle{std::move(arrived.descriptors.front())};
        if (!claimed(arrived.header.type, request) ||
            unclaimed_.has(arrived.header.type, request)) {
            unhandled_message_info info{arrived.header.type, arrived.payload.size()};
            unclaimed_.keep(arrived, std::move(passed));
            this->emit(event::unhandled_message, info);
            return;
        }
        deliver(arrived.header.type, request, arrived.header.sequence, arrived.payload, passed);
    }

    [[nodiscard]] bool claimed(std::uint32_t type, bool request) const noexcept {
        return table_.handles(type, request) || shared_.handles(type, request);
    }

    void deliver(std::uint32_t type,
                 bool request,
                 std::uint32_t sequence,
                 std::span<const std::byte> payload,
                 handle& passed) {
        typename table::arrival what{payload, &passed, {path_, sequence}};
        if (request) {
            (table_.handles(type, true) ? table_ : shared_).deliver(*this, type, true, what);
            return;
        }
        std::error_code error;
        if (shared_.handles(type, false)) {
            error = shared_.deliver(*this, type, false, what);
        }
        if (table_.handles(type, false)) {
            error = table_.deliver(*this, type, false, what);
        }
        if (error) {
            this->emit(event::error, error);
        }
    }

    // A handler has come: what waited for it is delivered in order, one a task.
    void claim() {
        if (!unclaimed_.empty()) {
            this->loop_.defer([this] { deliver_unclaimed(); });
        }
    }
    void deliver_unclaimed() {
        detail::unclaimed_messages::entry next;
        auto wanted = [this](const auto& each) { return claimed(each.type, each.request); };
        if (unclaimed_.take(wanted, next)) {
            claim();
            deliver(next.type, next.request, next.sequence, next.payload.span(), next.descriptor);
        }
    }

    void on_departed() override { unclaimed_.clear(); }
    void on_gone() override {
        path_.reset();
        this->requests_.fail_all(errc::channel_closed);
    }

    table table_;
    table& shared_; // the primary's
    detail::unclaimed_messages unclaimed_;
    std::shared_ptr<detail::channel*> path_ = std::make_shared<detail::channel*>(&this->channel_);
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_WORKER_HPP
