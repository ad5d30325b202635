// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_CORE_HPP
#define CLUSTER_DETAIL_PRIMARY_CORE_HPP

#include "../backend/concept.hpp"
#include "../event_loop.hpp"
#include "../fork_options.hpp"
#include "../net/stream.hpp"
#include "../reload.hpp"
#include "../restart/concept.hpp"
#include "../shutdown_options.hpp"
#include "../stats.hpp"
#include "../supervision.hpp"
#include "algorithm.hpp"
#include "broadcast_hub.hpp"
#include "chrono.hpp"
#include "datagram_set.hpp"
#include "hand_out.hpp"
#include "memory.hpp"
#include "replacements.hpp"
#include "restart_queue.hpp"
#include "rolling_reload.hpp"
#include "server_set.hpp"
#include "service_reporter.hpp"
#include "shared_datagram.hpp"
#include "shared_listener.hpp"
#include "shared_region.hpp"
#include "shutdown_ladder.hpp"
#include "spare_pool.hpp"
#include "worker_core.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The ends of a new worker's channel.
struct channel_ends {
    std::unique_ptr<carrier> ours;
    unique_fd theirs;
    std::unique_ptr<carrier> link; // of a thread, instead of `theirs`
    transport_memory memory;       // goes with the welcome
};

/// What the policies of a cluster decide, behind calls that need no template.
class cluster_policies : public connection_router {
public:
    virtual std::error_code connect(channel_ends& ends) const = 0;
    virtual launched_worker launch(const launch_request& request, std::error_code& error) = 0;
    [[nodiscard]] virtual bool own_processes() const noexcept = 0;
    [[nodiscard]] virtual bool can_launch_spares() const noexcept = 0; // now
    virtual restart_decision decide(const exit_report& report) = 0;
    virtual std::unique_ptr<worker_core, void (*)(worker_core*)>
    make_worker(std::uint32_t id, std::uint32_t slot, worker_plan plan) = 0;
    [[nodiscard]] virtual bool replaces() const noexcept = 0; // the dead, ever
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
          program_path_{os::running_program_path(arguments_.front())},
          generation_{std::make_shared<program_generation>(
              program_generation{1, os::open_running_program()})},
          servers_{loop},
          datagrams_{loop},
          ladder_{loop, *this},
          replacements_{loop},
          reload_{*this} {}
    ~primary_core() {
        tick_.cancel();
        hold_.cancel();
        pause(false);
        spares_.end_all();
        end_all();
    }
    primary_core(primary_core&&) = delete;
    primary_core& operator=(primary_core&&) = delete;

    cluster_policies& policies_;
    emitter<const fork_options&> setup_;
    emitter<worker_core&, const restart_decision&> restart_;
    emitter<worker_core&, const exit_report&> give_up_;
    emitter<const reload_report&> reloaded_;
    emitter<const address&> listener_repaired_;
    emitter<const address&> backlog_clipped_;
    stream_set streams_;
    region_table regions_;
    std::shared_ptr<broadcast_hub> hub_ = std::make_shared<broadcast_hub>(loop_);

    void setup(const fork_options& options) {
        fill_defaults();
        settings_ = merge(std::move(settings_), options);
        loop_.defer(alive_.guard([this, settings = settings_] { setup_.emit(settings); }));
    }
    [[nodiscard]] const fork_options& settings() const noexcept { return settings_; }

    worker_core& fork(const fork_options& options) {
        setup({});
        return start(free_slot(), {options, merge(settings_, options), generation_}, 0);
    }

    [[nodiscard]] const std::vector<owned_worker>& workers() const noexcept { return workers_; }

    void disconnect(move_only_function<void()> done);
    void shutdown(const shutdown_options& options);

    void supervise(const supervision_options& options);
    void when_ready(move_only_function<void()> done);
    void scale(std::size_t count, const scale_options& options);
    void reload(const reload_options& options, rolling_reload<primary_core>::callback done);
    [[nodiscard]] cluster_stats stats() const;
    void renew_spares(); // what they were started from is not what workers start from now
    service_notifier& notify_service_manager(service_notifier manager) {
        return service_.start(std::move(manager));
    }

    local_server_set& servers() noexcept { return servers_; }
    local_datagram_set& datagrams() noexcept { return datagrams_; }
    [[nodiscard]] bool shutting_down() const noexcept { return ladder_.has_begun(); }

private:
    friend class shutdown_ladder<primary_core>;
    friend class rolling_reload<primary_core>;
    friend class service_reporter<primary_core>;

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

    inline void on_worker_frame(worker_core& from, frame& arrived) override;
    inline void on_worker_up(worker_core& one) override;
    void on_worker_over(worker_core& one) override { count_end(one); }
    inline void on_worker_dead(worker_core& one) override;
    inline void on_worker_lost(worker_core& one) override;
    void come_back(worker_core& dead, worker_plan plan, const restart_decision& decision);
    [[nodiscard]] std::string serializer_name() const override { return policies_.serializer(); }

    void release_memberships(worker_core& one, bool kept);
    worker_core& start(std::uint32_t slot, worker_plan plan, unsigned restarts, bool heard = false);
    std::error_code launch(worker_core& one, bool heard);
    [[nodiscard]] std::string title_of(const worker_core& one) const;
    std::error_code open_channel(worker_core& one, channel_ends& ends, unique_fd lasting_stderr);
    std::error_code encode_data(const worker_data& from, welcome_message& into);
    std::error_code listen_to_boot(worker_core& one,
                                   fork_options& options,
                                   unique_fd& boot_end,
                                   unique_fd& lasting);
    void not_started(worker_core& one, std::error_code error);
    void on_listen(worker_core& from, const frame& arrived);
    template <typename Shared> // shared_listener, shared_datagram
    void answer_listen(worker_core& from,
                       std::uint32_t query,
                       bool makes_ready,
                       Shared* found,
                       std::error_code error);
    shared_listener* listener_for(worker_core& from, listen_message& asked, std::error_code& error);
    [[nodiscard]] int activated(const std::string& name);
    void close_unused_listeners();
    [[nodiscard]] bool holds_when_empty() const noexcept {
        return !shutting_down() && (paused_ || (supervision_.hold_when_empty && !hold_over_));
    }
    void on_relay(worker_core& from, frame& arrived);
    void on_share(worker_core& from, const frame& arrived); // primary_sharing.hpp
    void on_broadcast(worker_core& from, const frame& arrived);
    void follow(worker_core& dead, const restart_decision& decision, const exit_report& report);
    std::vector<std::uint32_t> end_companions(const worker_core& dead,
                                              restart_decision::scope affects);
    void free_place(std::uint32_t slot);
    [[nodiscard]] bool has_other(const worker_core& one) const noexcept;
    [[nodiscard]] exit_report make_report(worker_core& one);
    void count_end(const worker_core& one);
    slot_stats& slot_stats_of(std::uint32_t slot);

    // Supervision: primary_supervision.hpp
    [[nodiscard]] std::chrono::nanoseconds tick_period() const noexcept;
    [[nodiscard]] pulse_limits limits() const noexcept;
    void start_ticking();
    void tick();
    void tick_slowly();
    void look_at_listeners();
    void check_boot(worker_core& one, std::chrono::steady_clock::time_point now);
    void set_recycle_limits(worker_core& one);
    [[nodiscard]] bool is_worn_out(const worker_core& one,
                                   std::chrono::steady_clock::time_point now) const;
    void recycle_some();
    [[nodiscard]] bool may_boot() const noexcept;
    [[nodiscard]] std::size_t booting() const noexcept;
    [[nodiscard]] std::chrono::nanoseconds boot_limit() const noexcept;
    void check_all_ready();
    void hold_if_empty();
    void pause(bool on) noexcept;
    [[nodiscard]] worker_core* find_victim(victim which) const noexcept;
    [[nodiscard]] worker_census census() const; // what service_reporter asks for

    // What rolling_reload asks for.
    [[nodiscard]] bool has_room_for_generation(const reload_options& options) const;
    std::shared_ptr<const program_generation> new_generation(std::string& error);
    [[nodiscard]] bool is_being_replaced(const worker_core& one) const noexcept {
        return replacements_.has_old(one) || replacements_.has_fresh(one);
    }
    void replace(worker_core& old,
                 const std::shared_ptr<const program_generation>& generation,
                 const reload_options& options,
                 bool drain_first,
                 replacements::done_function done);
    void restore(std::uint32_t slot, const fork_options& asked);
    void cancel(const program_generation& generation);
    [[nodiscard]] bool expects_workers() const noexcept {
        bool dying = any_of(workers_, [](const auto& each) { return !each->after_disconnect_; });
        return dying || unfollowed_ != 0 || restarts_.size() != 0;
    }
    void commit(const std::shared_ptr<const program_generation>& generation) {
        generation_ = generation;
        spares_soon();
    }
    void reload_began() { service_.reload_began(); }
    void reloaded(const reload_report& report,
                  std::vector<rolling_reload<primary_core>::callback> callbacks,
                  move_only_function<void()> then);
    void check_all_gone();
    void end_all() noexcept;

    // Spares: primary_spares.hpp
    void look_after_spares();
    void spares_soon() {
        if (supervision_.spares != 0 || !spares_.empty()) {
            spares_.look_soon();
        }
    }
    launched_worker launch_spare(const fork_options& options,
                                 const program_generation& generation,
                                 int cord,
                                 std::error_code& error);

    std::vector<std::string> arguments_;
    unsigned cluster_;
    std::string program_path_;
    std::shared_ptr<const program_generation> generation_; // of what is forked and restarted
    std::uint32_t last_generation_ = 1;
    unsigned unfollowed_ = 0; // the dead of whom it is not known yet whether they come back
    fork_options settings_;
    std::uint32_t next_id_ = 1;
    std::uint32_t next_key_ = 1;
    std::vector<bool> slots_; // taken, by a worker or for the replacement of one
    std::vector<owned_worker> workers_;
    ring_queue<owned_worker> departed_; // so that a reference that somebody kept stays good a while
    std::vector<std::unique_ptr<shared_listener>> listeners_;
    std::vector<os::activated_socket> activated_;
    bool activated_taken_ = false;
    shared_datagram_set shared_datagrams_;
    restart_queue restarts_{loop_,
                            [this] { return may_boot(); },
                            [this](returning_worker one) {
                                // A reload may have ended since the death, well or not.
                                if (!reload_.aims_at(*one.plan.generation)) {
                                    one.plan.generation = generation_;
                                }
                                start(one.slot, std::move(one.plan), one.restarts);
                                loop_.defer(alive_.guard([this] { reload_.go_on(); }));
                            }};
    spare_pool spares_{
        loop_,
        [this](const fork_options& options,
               const program_generation& generation,
               int cord,
               std::error_code& error) { return launch_spare(options, generation, cord, error); },
        [this] { look_after_spares(); }};
    local_server_set servers_;
    local_datagram_set datagrams_;

    struct departure { // of the workers that disconnect() met
        std::vector<std::uint32_t> waiting;
        move_only_function<void()> done;
    };
    std::vector<departure> departures_;

    shutdown_ladder<primary_core> ladder_;
    replacements replacements_;
    rolling_reload<primary_core> reload_;
    service_reporter<primary_core> service_{loop_, *this};
    supervision_options supervision_;
    std::vector<move_only_function<void()>> when_ready_;
    std::vector<slot_stats> slot_stats_;
    std::uint64_t reloads_ = 0;
    std::uint64_t reloads_failed_ = 0;
    os::out_of_memory_counter memory_kill_counter_;
    std::uint64_t memory_kills_ = 0; // what it said last
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
    timer tick_;
    std::chrono::steady_clock::time_point next_tick_{};
    std::chrono::steady_clock::time_point next_slow_tick_{};
    timer hold_; // connections wait for a worker until then
    bool hold_over_ = false;
    bool has_title_ = false;
    bool paused_ = false; // scaled to nothing
};

inline worker_core&
primary_core::start(std::uint32_t slot, worker_plan plan, unsigned restarts, bool heard) {
    auto made = policies_.make_worker(next_id_++, slot, std::move(plan));
    worker_core& one = *made;
    one.restarts_ = restarts;
    slot_stats_of(slot).restarts += restarts != 0 ? 1 : 0;
    set_recycle_limits(one);
    workers_.push_back(std::move(made));
    hold_.cancel();
    hold_over_ = false;
    pause(false);
    start_ticking();
    service_.workers_changed();
    if (supervision_.process_titles && !std::exchange(has_title_, true)) {
        os::set_process_title(arguments_.front() + ": primary");
    }
    loop_.defer(alive_.guard([&one] { one.tell_fork(); })); // also when it cannot be started
    if (auto error = launch(one, heard)) {
        not_started(one, error);
    }
    return one;
}

inline std::error_code primary_core::launch(worker_core& one, bool heard) {
    fork_options options = one.options_;
    unique_fd lasting_stderr;
    unique_fd boot_stderr; // the worker's end
    if (heard && policies_.own_processes()) {
        if (auto error = listen_to_boot(one, options, boot_stderr, lasting_stderr)) {
            return error;
        }
    }
    channel_ends ends;
    if (auto error = open_channel(one, ends, std::move(lasting_stderr))) {
        return error;
    }
    std::error_code error;
    launched_worker launched;
    if (!heard) { // a spare has booted unheard
        launched = spares_.take(options, *one.generation_, ends.theirs.get());
    }
    if (!launched.child) {
        launched = policies_.launch({options,
                                     arguments_,
                                     one.generation_->program.get(),
                                     ends.theirs.get(),
                                     cluster_,
                                     &ends.link,
                                     {}},
                                    error);
    }
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

inline std::error_code
primary_core::open_channel(worker_core& one, channel_ends& ends, unique_fd lasting_stderr) {
    unique_fd page;
    if (auto error = policies_.connect(ends)) {
        return error;
    }
    if (auto error = one.channel_.open(std::move(ends.ours))) {
        return error;
    }
    if (auto error = one.queue_.open(page)) {
        return error;
    }
    one.beat_period_ = supervision_.stalled_after > std::chrono::nanoseconds{0}
                           ? beat_period(supervision_.stalled_after)
                           : std::chrono::nanoseconds{0};
    using namespace std::chrono_literals;
    welcome_message welcome{protocol_version,
                            one.id(),
                            one.slot(),
                            one.generation(),
                            one.beat_period_.count(),
                            one.options_.outlive_primary.value_or(0s).count(),
                            title_of(one),
                            one.name(),
                            policies_.serializer(),
                            0,
                            {},
                            ends.memory.ring};
    if (auto error = encode_data(one.options_.data, welcome)) {
        return error;
    }
    descriptor_list passed{std::move(page)};
    for (auto* each : {&ends.memory.descriptor,
                       &ends.memory.worker_hears,
                       &ends.memory.worker_rings,
                       &lasting_stderr}) {
        if (*each) {
            passed.numbers.push_back(each->get());
            passed.owned.push_back(std::move(*each));
        }
    }
    one.channel_.send(
        {0, frame_kind::welcome, 0, 0, 0},
        [&](byte_buffer& out) { encode_wire(welcome, out); },
        std::move(passed));
    one.channel_.flush(); // waits in the socket when the worker looks for it
    return {};
}

// A thread reads the object itself.
inline std::error_code primary_core::encode_data(const worker_data& from, welcome_message& into) {
    byte_buffer encoded;
    if (!from || !policies_.own_processes()) {
        return {};
    }
    if (!worker_data_access::encode(from, encoded)) {
        return errc::not_supported;
    }
    into.data_type = worker_data_access::type(from);
    into.data.assign(reinterpret_cast<const char*>(encoded.data()), encoded.size());
    return {};
}

inline std::string primary_core::title_of(const worker_core& one) const {
    if (!supervision_.process_titles) {
        return {};
    }
    return arguments_.front() + ": worker " + std::to_string(one.id()) + ", generation " +
           std::to_string(one.generation());
}

// What a worker says on its standard error comes by us until it is ready, so that a report on a
// boot that failed can say why. Not when the program wants it for itself, or wants nothing.
inline std::error_code primary_core::listen_to_boot(worker_core& one,
                                                    fork_options& options,
                                                    unique_fd& boot_end,
                                                    unique_fd& lasting) {
    bool silent = options.silent.value_or(false);
    auto wanted = options.standard_error.value_or(silent ? stdio::pipe : stdio::inherit);
    if (wanted == stdio::pipe || wanted == stdio::ignore) {
        return {};
    }
    lasting.reset(os::duplicate(wanted.is_descriptor() ? wanted.descriptor() : 2));
    if (!lasting) {
        return {}; // there is none: then it has none, either
    }
    unique_fd ours;
    if (auto error = os::make_pipe(ours, boot_end)) {
        return error;
    }
    options.standard_error = stdio::descriptor(boot_end.get());
    one.boot_output_ = std::make_unique<boot_output>(loop_, std::move(ours), lasting.duplicate());
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
                each->leave(from, has_other(from));
            }
        }
        shared_datagrams_.leave(arrived.header.type, from, has_other(from));
        close_unused_listeners();
        break;
    case frame_kind::willing:
        for (auto& each : listeners_) {
            if (each->key() == arrived.header.type) {
                each->set_willing(from, true);
            }
        }
        break;
    case frame_kind::relay:
        on_relay(from, arrived);
        break;
    case frame_kind::share:
        on_share(from, arrived);
        break;
    case frame_kind::join:
    case frame_kind::leave:
    case frame_kind::post:
        on_broadcast(from, arrived);
        break;
    default:
        break;
    }
}

inline void primary_core::on_worker_up(worker_core& one) {
    replacements_.on_up(one);
    service_.workers_changed();
    loop_.defer(alive_.guard([this] {
        check_all_ready();
        restarts_.go_on();
        reload_.go_on();
        spares_soon();
    }));
}

// Also for one that was told to leave: it has not read that yet, and closes when it does.
inline void primary_core::on_listen(worker_core& from, const frame& arrived) {
    listen_message asked;
    std::error_code error;
    auto query = arrived.header.sequence;
    if (!decode_wire(arrived.payload, asked)) {
        answer_listen<shared_listener>(from, query, false, nullptr, errc::bad_payload);
    } else if (bool ready = asked.ready; asked.datagram.wanted) {
        auto* found = shared_datagrams_.find_or_bind(from, asked, next_key_, error);
        answer_listen(from, query, ready, found, error);
    } else {
        auto* found = listener_for(from, asked, error);
        answer_listen(from, query, ready, found, error);
    }
}

template <typename Shared>
void primary_core::answer_listen(worker_core& from,
                                 std::uint32_t query,
                                 bool makes_ready,
                                 Shared* found,
                                 std::error_code error) {
    listen_result_message result;
    descriptor_list sockets;
    bool becomes_ready = makes_ready && !from.ready_;
    if (found != nullptr && !error) {
        from.ready_ = from.ready_ || makes_ready; // before it joins: it is served at once
        sockets = found->join(from, error);
        from.ready_ = from.ready_ && !(error && becomes_ready);
    }
    if (error) {
        set_error(result, error);
    } else {
        result.at = to_wire(found->at());
        result.mode = static_cast<std::uint8_t>(found->mode());
    }
    from.channel_.send(
        {0, frame_kind::listen_result, 0, found == nullptr ? 0 : found->key(), query},
        [&](byte_buffer& out) { encode_wire(result, out); },
        std::move(sockets),
        {},
        true);
    if (error) {
        close_unused_listeners();
        return;
    }
    from.state_ = worker_state::listening;
    if (becomes_ready) { // behind `listening`
        loop_.defer(alive_.guard([&from] { from.tell_ready(); }));
    }
    from.emit(event::listening, address{found->at()});
}

inline shared_listener*
primary_core::listener_for(worker_core& from, listen_message& asked, std::error_code& error) {
    auto mode = asked.own_socket ? accept_mode::own_socket : policies_.mode();
    if (!asked.activated.empty()) {
        asked.fd = activated(asked.activated);
        if (asked.fd == -1) {
            error = std::make_error_code(std::errc::no_such_file_or_directory);
            return nullptr;
        }
    }
    if (asked.most != static_cast<std::uint64_t>(-1)) {
        mode = accept_mode::handed; // somebody has to count
    }
    if (mode == accept_mode::own_socket && (asked.local_path || asked.fd != -1)) {
        // SO_REUSEPORT is for addresses of the network.
        mode = policies_.steering() == kernel_steering::none ? accept_mode::shared
                                                             : accept_mode::handed;
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
    if (made->is_clipped()) {
        loop_.defer(alive_.guard([this, at = made->at()] { backlog_clipped_.emit(at); }));
    }
    return listeners_.emplace_back(std::move(made)).get();
}

// The descriptor of what the service manager calls so; -1.
inline int primary_core::activated(const std::string& name) {
    if (!std::exchange(activated_taken_, true)) {
        activated_ = os::take_activated_sockets();
    }
    for (const auto& each : activated_) {
        if (each.name == name) {
            return each.descriptor;
        }
    }
    return -1;
}

inline void primary_core::close_unused_listeners() {
    if (!holds_when_empty()) {
        shared_datagrams_.close_unused();
    }
    detail::erase_if(listeners_, [this](const auto& each) {
        if (each->in_use() || holds_when_empty()) {
            return false;
        }
        for (auto& worker : workers_) {
            worker->queue_.forget(each->source());
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
    if (!kept) {
        for (auto& each : listeners_) {
            each->give_up_place(one.slot());
        }
        shared_datagrams_.give_up_place(one.slot());
    }
    close_unused_listeners();
}

// Whether somebody else is in the worker's place and stays: then nobody needs to come for it.
inline bool primary_core::has_other(const worker_core& one) const noexcept {
    for (const auto& each : workers_) {
        if (each.get() != &one && each->slot() == one.slot() && !each->leaving_) {
            return true;
        }
    }
    return false;
}

inline exit_report primary_core::make_report(worker_core& one) {
    using std::chrono::milliseconds;
    auto now = std::chrono::steady_clock::now();
    auto report = one.report_;
    report.status = one.status_;
    report.worker_id = one.id();
    report.uptime = std::chrono::duration_cast<milliseconds>(now - one.started_);
    report.was_online = one.was_online_;
    report.restarts = one.restarts_;
    report.when = now;
    report.slot = one.slot();
    report.was_ready = one.ready_;
    report.generation = one.generation();
    if (one.status_.signal() == SIGKILL && !one.because_) {
        auto kills = memory_kill_counter_.read();
        report.out_of_memory = kills > std::exchange(memory_kills_, kills);
    }
    return report;
}

// It is being ended, and its place does not wait for that: the policy is asked now, not at its exit.
inline void primary_core::on_worker_lost(worker_core& one) {
    if (has_other(one) || is_being_replaced(one) || restarts_.expects(one.id()) ||
        !one.may_return() || shutting_down()) {
        return;
    }
    one.report_ = make_report(one);
    one.decided_ = policies_.decide(one.report_);
    if (one.decided_->what == restart_decision::action::restart) {
        release_memberships(one, true);
        come_back(one, {one.asked_, one.options_, one.generation_}, *one.decided_);
    }
}

// Decides what follows, takes the worker out of the list, and tells.
inline void primary_core::on_worker_dead(worker_core& one) {
    one.report_ = make_report(one);
    restart_decision decision;
    bool companion = restarts_.expects(one.id());
    bool covered = has_other(one) || restarts_.holds(one.slot());
    hub_->forget(one.channel_);
    replacements_.on_dead(one); // may end a reload, whose callback comes later
    if (one.decided_) {         // and perhaps followed
        bool gave_up = one.decided_->what == restart_decision::action::give_up;
        decision = gave_up ? *one.decided_ : decision;
    } else if (!companion && !covered && one.may_return() && !shutting_down()) {
        decision = policies_.decide(one.report_);
    }
    bool comes_back = companion || decision.what == restart_decision::action::restart;
    release_memberships(one, comes_back || covered);
    for (std::size_t i = 0; i != workers_.size(); ++i) {
        if (workers_[i].get() == &one) {
            departed_.push_back(std::move(workers_[i]));
            workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
            break;
        }
    }
    if (!comes_back && !covered) {
        free_place(one.slot());
    }
    for (auto& each : departures_) {
        detail::erase(each.waiting, one.id());
    }
    ++unfollowed_;
    loop_.defer(alive_.guard([this, &one, decision] { follow(one, decision, one.report_); }));
    one.emit(event::exit, one.status_);
}

inline void primary_core::follow(worker_core& dead,
                                 const restart_decision& decision,
                                 const exit_report& report) {
    constexpr std::size_t remembered = 256;
    --unfollowed_;
    dead.on_departed();
    service_.workers_changed();
    dead.boot_output_.reset();
    auto generation = std::move(dead.generation_); // who is remembered keeps no program file open
    dead.generation_ =
        std::make_shared<program_generation>(program_generation{generation->number, {}});
    if (departed_.size() > remembered) {
        loop_.defer([last = std::move(departed_.front())] {});
        departed_.pop_front();
    }
    loop_.defer(alive_.guard([this] {
        check_all_gone();
        check_all_ready();
        hold_if_empty();
        restarts_.go_on();
        reload_.go_on();
        spares_soon();
    }));
    if (decision.what == restart_decision::action::give_up) {
        give_up_.emit(dead, report);
    }
    bool companion = restarts_.expects(dead.id()); // it had to go because another one died
    bool returns = companion || decision.what == restart_decision::action::restart;
    if (returns && (shutting_down() || dead.dismissed_)) { // since its exit
        free_place(dead.slot());
        return;
    }
    worker_plan plan{dead.asked_, dead.options_, std::move(generation)};
    if (companion) {
        restarts_.returned(dead.id(), {dead.slot(), std::move(plan), dead.restarts_});
    } else if (returns) {
        come_back(dead, std::move(plan), decision);
    }
}

inline void
primary_core::come_back(worker_core& dead, worker_plan plan, const restart_decision& decision) {
    restarts_.add({dead.slot(), std::move(plan), dead.restarts_ + 1},
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
        if (affected && &one != &dead && !one.after_disconnect_ && !restarts_.expects(one.id())) {
            ids.push_back(one.id());
            one.end();
        }
    }
    return ids;
}

inline void primary_core::free_place(std::uint32_t slot) {
    for (const auto& each : workers_) {
        if (each->slot() == slot) {
            return; // one that leaves, too
        }
    }
    slots_[slot] = false;
    for (auto& each : listeners_) {
        each->give_up_place(slot);
    }
    shared_datagrams_.give_up_place(slot);
    close_unused_listeners();
}

// Nor does anybody come for those who have died just now: the cluster would never be over.
inline void primary_core::disconnect(move_only_function<void()> done) {
    departure leaving{{}, std::move(done)};
    restarts_.clear([this](std::uint32_t slot) { free_place(slot); });
    for (auto& each : departed_) {
        each->dismissed_ = true;
    }
    for (std::size_t i = workers_.size(); i-- != 0;) { // the last one started is asked first
        workers_[i]->dismissed_ = true;
        workers_[i]->disconnect();
        leaving.waiting.push_back(workers_[i]->id());
    }
    spares_soon();
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
    service_.stopping();
    reload_.abandon("the cluster shuts down");
    replacements_.forget_all();
    pause(false);
    hold_.cancel();
    restarts_.clear([this](std::uint32_t slot) { free_place(slot); });
    look_after_spares();
    servers_.close_all();
    datagrams_.close_all();
    streams_.drain();
    for (std::size_t i = workers_.size(); i-- != 0;) {
        if (workers_[i]->channel_.can_send()) {
            workers_[i]->channel_.send_control({0, frame_kind::shutdown, 0, 0, 0});
        }
    }
    disconnect({});
    close_unused_listeners();
    loop_.defer(alive_.guard([this] { check_all_gone(); }));
}

// Nothing outlives the primary: closing the channels ends every worker whose loop runs, SIGKILL the
// others. Blocks for a second at most; for threads, which cannot be killed, until they have ended.
inline void primary_core::end_all() noexcept {
    using clock = std::chrono::steady_clock;
    for (auto& each : workers_) {
        each->channel_.flush();
        each->channel_.close();
        if (!policies_.own_processes()) {
            each->process_.signal(SIGTERM); // one that computes hears of it by its token
        }
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

#include "primary_sharing.hpp"
#include "primary_spares.hpp"
#include "primary_stats.hpp"
#include "primary_supervision.hpp"
#include "ring_queue.hpp"

#endif // CLUSTER_DETAIL_PRIMARY_CORE_HPP
