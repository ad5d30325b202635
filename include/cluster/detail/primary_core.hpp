// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_CORE_HPP
#define CLUSTER_DETAIL_PRIMARY_CORE_HPP

#include "../backend/concept.hpp"
#include "../event_loop.hpp"
#include "../fork_options.hpp"
#include "../net/stream.hpp"
#include "../restart/concept.hpp"
#include "../shutdown_options.hpp"
#include "restart_queue.hpp"
#include "server_set.hpp"
#include "shared_listener.hpp"
#include "shutdown_ladder.hpp"
#include "worker_core.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What the policies of a cluster decide, behind calls that need no template.
class cluster_policies : public connection_router {
public:
    virtual launched_worker launch(const launch_request& request, std::error_code& error) = 0;
    virtual restart_decision decide(const exit_report& report) = 0;
    virtual std::unique_ptr<worker_core, void (*)(worker_core*)>
    make_worker(std::uint32_t id, std::uint32_t slot, fork_options options) = 0;
    [[nodiscard]] virtual accept_mode mode() const noexcept = 0;
    [[nodiscard]] virtual std::string serializer() const = 0;

protected:
    ~cluster_policies() = default;
};

using owned_worker = std::unique_ptr<worker_core, void (*)(worker_core*)>;

/// The primary without the types of its messages: starts workers, answers them, watches them die.
class primary_core final : public worker_owner {
public:
    primary_core(event_loop& loop,
                 cluster_policies& policies,
                 std::vector<std::string> arguments,
                 unsigned cluster)
        : worker_owner{loop},
          policies_{policies},
          streams_{loop},
          arguments_{std::move(arguments)},
          cluster_{cluster},
          program_{os::open_running_program()},
          servers_{loop},
          ladder_{loop, *this} {}
    ~primary_core() { end_all(); }
    primary_core(primary_core&&) = delete;
    primary_core& operator=(primary_core&&) = delete;

    cluster_policies& policies_;
    emitter<const fork_options&> setup_;
    emitter<worker_core&, const restart_decision&> restart_;
    emitter<worker_core&, const exit_report&> give_up_;
    stream_set streams_;

    void setup(const fork_options& options) {
        fill_defaults();
        settings_ = merge(std::move(settings_), options);
        loop_.defer(alive_.guard([this, settings = settings_] { setup_.emit(settings); }));
    }
    [[nodiscard]] const fork_options& settings() const noexcept { return settings_; }

    worker_core& fork(const fork_options& options) {
        setup({});
        return start(free_slot(), merge(settings_, options), 0);
    }

    [[nodiscard]] const std::vector<owned_worker>& workers() const noexcept { return workers_; }
    [[nodiscard]] worker_core* find(std::uint32_t id) const noexcept {
        for (const auto& each : workers_) {
            if (each->id() == id) {
                return each.get();
            }
        }
        return nullptr;
    }

    void disconnect(move_only_function<void()> done);
    void shutdown(const shutdown_options& options);

    local_server_set& servers() noexcept { return servers_; }
    [[nodiscard]] bool shutting_down() const noexcept { return ladder_.has_begun(); }

private:
    friend class shutdown_ladder<primary_core>;

    void fill_defaults() {
        if (!settings_.silent) {
            settings_.silent = false;
            settings_.executable.clear();
            settings_.arguments.assign(arguments_.begin() + (arguments_.empty() ? 0 : 1),
                                       arguments_.end());
        }
    }

    [[nodiscard]] std::uint32_t free_slot() {
        std::uint32_t slot = 0;
        while (slot < slots_.size() && slots_[slot]) {
            ++slot;
        }
        if (slot == slots_.size()) {
            slots_.push_back(false);
        }
        slots_[slot] = true;
        return slot;
    }

    void on_worker_frame(worker_core& from, frame& arrived) override;
    void on_worker_dead(worker_core& one) override;
    [[nodiscard]] std::string serializer_name() const override { return policies_.serializer(); }

    void release_memberships(worker_core& one, bool kept);
    worker_core& start(std::uint32_t slot, fork_options options, unsigned restarts);
    std::error_code launch(worker_core& one);
    void not_started(worker_core& one, std::error_code error);
    void on_listen(worker_core& from, const frame& arrived);
    shared_listener* listener_for(worker_core& from, listen_message& asked, std::error_code& error);
    void close_unused_listeners();
    void on_relay(worker_core& from, frame& arrived);
    void replace(worker_core& dead, const restart_decision& decision, const exit_report& report);
    std::vector<std::uint32_t> end_companions(const worker_core& dead,
                                              restart_decision::scope affects);
    void free_place(std::uint32_t slot);
    void check_all_gone();
    void end_all() noexcept;

    std::vector<std::string> arguments_;
    unsigned cluster_;
    unique_fd program_;
    fork_options settings_;
    std::uint32_t next_id_ = 1;
    std::uint32_t next_key_ = 1;
    std::vector<bool> slots_; // taken, by a worker or for the replacement of one
    std::vector<owned_worker> workers_;
    std::deque<owned_worker> departed_; // so that a reference that somebody kept stays good a while
    std::vector<std::unique_ptr<shared_listener>> listeners_;
    restart_queue restarts_{
        loop_, [this](const returning_worker& one) { start(one.slot, one.options, one.restarts); }};
    local_server_set servers_;

    struct departure { // of the workers that disconnect() met
        std::vector<std::uint32_t> waiting;
        move_only_function<void()> done;
    };
    std::vector<departure> departures_;

    shutdown_ladder<primary_core> ladder_;
};

inline worker_core&
primary_core::start(std::uint32_t slot, fork_options options, unsigned restarts) {
    auto made = policies_.make_worker(next_id_++, slot, std::move(options));
    worker_core& one = *made;
    one.restarts_ = restarts;
    workers_.push_back(std::move(made));
    loop_.defer(alive_.guard(
        [&one] { one.emit(event::fork); })); // first of all, also when it cannot be started
    if (auto error = launch(one)) {
        not_started(one, error);
    }
    return one;
}

inline std::error_code primary_core::launch(worker_core& one) {
    unique_fd ours;
    unique_fd theirs;
    unique_fd page_descriptor;
    if (auto error = os::make_channel(ours, theirs)) {
        return error;
    }
    if (auto error = one.queue_.open(page_descriptor)) {
        return error;
    }
    if (auto failed = one.channel_.open(std::move(ours))) {
        return failed;
    }
    welcome_message welcome{
        protocol_version, one.id(), one.slot(), one.name(), policies_.serializer()};
    one.channel_.send(
        {0, frame_kind::welcome, 0, 0, 0},
        [&](byte_buffer& out) { encode_wire(welcome, out); },
        descriptor_list{std::move(page_descriptor)});
    one.channel_.flush(); // waits in the socket when the worker looks for it
    std::error_code error;
    auto launched =
        policies_.launch({one.options_, arguments_, program_.get(), theirs.get(), cluster_}, error);
    if (error) {
        return error;
    }
    one.process_.start(
        loop_, std::move(launched.child), [&one](const os::exit_info& info) { one.on_exit(info); });
    one.pipes_.resize(launched.pipes.size());
    for (std::size_t i = 0; i != launched.pipes.size(); ++i) {
        if (launched.pipes[i]) {
            one.pipes_[i] =
                &streams_.attach(connection{std::move(launched.pipes[i])}, &one.pipes_[i]);
        }
    }
    return {};
}

inline void primary_core::not_started(worker_core& one, std::error_code error) {
    one.channel_.close();
    one.exit_seen_ = true;
    one.status_ = exit_status::spawn_failed(error);
    loop_.defer(alive_.guard([this, &one, error] {
        loop_.defer(alive_.guard([&one] { one.on_channel_end(); }));
        one.emit(event::error, error);
    }));
}

inline void primary_core::on_worker_frame(worker_core& from, frame& arrived) {
    switch (arrived.header.kind) {
    case frame_kind::listen:
        on_listen(from, arrived);
        break;
    case frame_kind::close_listener:
        for (auto& each : listeners_) {
            if (each->key() == arrived.header.type && each->has_member(from)) {
                each->leave(from, false);
            }
        }
        close_unused_listeners();
        break;
    case frame_kind::ready:
        for (auto& each : listeners_) {
            if (each->key() == arrived.header.type) {
                each->set_willing(from, true);
            }
        }
        break;
    case frame_kind::relay:
        on_relay(from, arrived);
        break;
    default:
        break;
    }
}

inline void primary_core::on_listen(worker_core& from, const frame& arrived) {
    listen_message asked;
    listen_result_message result;
    std::error_code error;
    unique_fd socket;
    shared_listener* found = nullptr;
    if (!decode_wire(arrived.payload, asked)) {
        error = errc::bad_payload;
    } else { // also for one that was told to leave: it has not read that yet, and closes when it does
        found = listener_for(from, asked, error);
    }
    if (found != nullptr && !error) {
        socket = found->join(from, error);
    }
    if (error) {
        set_error(result, error);
    } else {
        result.at = to_wire(found->at());
        result.mode = static_cast<std::uint8_t>(found->mode());
    }
    from.channel_.send(
        {0,
         frame_kind::listen_result,
         0,
         found == nullptr ? 0 : found->key(),
         arrived.header.sequence},
        [&](byte_buffer& out) { encode_wire(result, out); },
        descriptor_list{std::move(socket)},
        {},
        true);
    if (error) {
        close_unused_listeners();
        return;
    }
    from.state_ = worker_state::listening;
    from.emit(event::listening, address{found->at()});
}

inline shared_listener*
primary_core::listener_for(worker_core& from, listen_message& asked, std::error_code& error) {
    auto mode = asked.own_socket ? accept_mode::own_socket : policies_.mode();
    if (mode == accept_mode::own_socket && (asked.local_path || asked.fd != -1)) {
        mode = accept_mode::shared; // SO_REUSEPORT is for addresses of the network
    }
    for (auto& each : listeners_) {
        if (each->matches(asked, from)) {
            if (each->has_member(from)) {
                error = std::make_error_code(std::errc::address_in_use);
            } else if (!each->has_same_options(asked, mode)) {
                error = errc::conflicting_options;
            }
            return each.get();
        }
    }
    auto made =
        std::make_unique<shared_listener>(loop_, policies_, next_key_, std::move(asked), mode);
    error = made->open();
    if (error) {
        return nullptr;
    }
    ++next_key_;
    return listeners_.emplace_back(std::move(made)).get();
}

inline void primary_core::close_unused_listeners() {
    std::erase_if(listeners_, [this](const auto& each) {
        if (each->in_use()) {
            return false;
        }
        for (auto& worker : workers_) {
            worker->queue_.forget(*each);
        }
        return true;
    });
}

inline void primary_core::on_relay(worker_core& from, frame& arrived) {
    auto pass_on = [&](worker_core& to, unique_fd fd) {
        to.channel_.send(
            {0, frame_kind::message, 0, arrived.header.type, from.id()},
            [&](byte_buffer& out) { out.append(arrived.payload); },
            descriptor_list{std::move(fd)});
    };
    auto target = arrived.header.sequence;
    for (auto& each : workers_) {
        if (target == 0 ? each.get() != &from : each->id() == target) {
            unique_fd fd;
            if (target != 0 && !arrived.descriptors.empty()) {
                fd = std::move(arrived.descriptors.front());
            }
            pass_on(*each, std::move(fd));
        }
    }
}

inline void primary_core::release_memberships(worker_core& one, bool kept) {
    while (!one.memberships_.empty()) {
        one.memberships_.back()->leave(one, kept);
    }
    for (auto& each : listeners_) {
        if (!kept) {
            each->give_up_place(one.slot());
        }
    }
    close_unused_listeners();
}

// Decides what follows, takes the worker out of the list, and tells.
inline void primary_core::on_worker_dead(worker_core& one) {
    using std::chrono::milliseconds;
    auto now = std::chrono::steady_clock::now();
    exit_report report{one.status_,
                       one.id(),
                       std::chrono::duration_cast<milliseconds>(now - one.started_),
                       one.was_online_,
                       one.restarts_,
                       now,
                       one.slot()};
    restart_decision decision;
    bool companion = restarts_.expects(one.id());
    if (!companion && !one.after_disconnect_ && !shutting_down()) {
        decision = policies_.decide(report);
    }
    bool comes_back = companion || decision.what == restart_decision::action::restart;
    release_memberships(one, comes_back);
    for (std::size_t i = 0; i != workers_.size(); ++i) {
        if (workers_[i].get() == &one) {
            departed_.push_back(std::move(workers_[i]));
            workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
            break;
        }
    }
    if (!comes_back) {
        free_place(one.slot());
    }
    for (auto& each : departures_) {
        std::erase(each.waiting, one.id());
    }
    loop_.defer(alive_.guard([this, &one, decision, report] { replace(one, decision, report); }));
    one.emit(event::exit, one.status_);
}

inline void primary_core::replace(worker_core& dead,
                                  const restart_decision& decision,
                                  const exit_report& report) {
    constexpr std::size_t remembered = 1024;
    dead.on_departed();
    if (departed_.size() > remembered) {
        loop_.defer([last = std::move(departed_.front())] {});
        departed_.pop_front();
    }
    loop_.defer(alive_.guard([this] { check_all_gone(); }));
    if (decision.what == restart_decision::action::give_up) {
        give_up_.emit(dead, report);
    }
    if (restarts_.expects(dead.id())) { // it had to go because another one died: no one's decision
        restarts_.returned(dead.id(), {dead.slot(), dead.options_, dead.restarts_});
        return;
    }
    if (decision.what != restart_decision::action::restart) {
        return;
    }
    if (shutting_down()) {
        free_place(dead.slot());
        return;
    }
    restarts_.add({dead.slot(), dead.options_, dead.restarts_ + 1},
                  decision.delay,
                  end_companions(dead, decision.affects));
    restart_.emit(dead, decision);
}

// one_for_all and rest_for_one: ends those who shall start anew together with the dead one, the last
// place first.
inline std::vector<std::uint32_t> primary_core::end_companions(const worker_core& dead,
                                                               restart_decision::scope affects) {
    std::vector<std::uint32_t> ids;
    if (affects == restart_decision::scope::this_one) {
        return ids;
    }
    for (std::size_t i = workers_.size(); i-- != 0;) {
        worker_core& one = *workers_[i];
        bool affected = affects == restart_decision::scope::all || one.slot() > dead.slot();
        if (affected && !one.after_disconnect_ && !restarts_.expects(one.id())) {
            ids.push_back(one.id());
            one.end();
        }
    }
    return ids;
}

inline void primary_core::free_place(std::uint32_t slot) {
    slots_[slot] = false;
    for (auto& each : listeners_) {
        each->give_up_place(slot);
    }
    close_unused_listeners();
}

inline void primary_core::disconnect(move_only_function<void()> done) {
    departure leaving{{}, std::move(done)};
    for (auto& each : workers_) {
        each->disconnect();
        leaving.waiting.push_back(each->id());
    }
    if (leaving.done) {
        departures_.push_back(std::move(leaving));
        loop_.defer(alive_.guard([this] { check_all_gone(); }));
    }
}

inline void primary_core::check_all_gone() {
    for (std::size_t i = 0; i != departures_.size(); ++i) {
        if (departures_[i].waiting.empty()) {
            auto done = std::move(departures_[i].done);
            departures_.erase(departures_.begin() + static_cast<std::ptrdiff_t>(i));
            loop_.defer(alive_.guard([this] { check_all_gone(); }));
            done();
            return;
        }
    }
    if (shutting_down() && workers_.empty()) {
        loop_.stop(ladder_.end() ? 0 : 1);
    }
}

inline void primary_core::shutdown(const shutdown_options& options) {
    if (!ladder_.begin(options)) {
        return;
    }
    restarts_.clear([this](std::uint32_t slot) { free_place(slot); });
    servers_.close_all();
    streams_.drain();
    for (auto& each : workers_) {
        if (each->channel_.can_send()) {
            each->channel_.send_control({0, frame_kind::shutdown, 0, 0, 0});
        }
    }
    disconnect({});
    loop_.defer(alive_.guard([this] { check_all_gone(); }));
}

// Nothing outlives the primary: closing the channels ends every worker whose loop runs, SIGKILL the
// others. Blocks for a second at most.
inline void primary_core::end_all() noexcept {
    using clock = std::chrono::steady_clock;
    for (auto& each : workers_) {
        each->channel_.flush();
        each->channel_.close();
    }
    auto deadline = clock::now() + std::chrono::seconds{1};
    for (auto& each : workers_) {
        if (!each->exit_seen_) {
            auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
            if (!each->process_.wait_exit(left)) {
                each->process_.signal(SIGKILL);
                each->process_.reap();
            }
        }
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_CORE_HPP
