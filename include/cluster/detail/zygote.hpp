// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ZYGOTE_HPP
#define CLUSTER_DETAIL_ZYGOTE_HPP

#include "../backend/concept.hpp"
#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../event_loop.hpp"
#include "../fork_options.hpp"
#include "../ipc/wire.hpp"
#include "../unique_fd.hpp"
#include "chrono.hpp"
#include "connection_account.hpp"
#include "environment_block.hpp"
#include "memory.hpp"
#include "os.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// A process without threads and without a loop, from which workers are forked: a copy of the
/// primary as it was before its first worker, or of a worker as it was when it was asked
/// (`primary.refork()`). It is the workers' parent, tells the primary how each of them ended, and
/// kills them when the primary is gone. It forks the next worker before somebody asks for it, so
/// that nobody waits for the copy of the page tables, which takes longer than all the rest.

/// What a worker becomes; the part of fork_options that a copy of a process can have.
struct fork_plan {
    struct variable {
        std::string name;
        std::optional<std::string> value;
    };
    struct limit {
        std::int32_t which = 0;
        std::uint64_t soft = 0;
        std::uint64_t hard = 0;
    };
    std::vector<variable> environment;
    std::string directory;
    std::optional<std::uint32_t> user;
    std::optional<std::uint32_t> group;
    std::optional<std::uint32_t> umask;
    std::optional<std::int32_t> nice;
    std::vector<limit> limits;
    std::vector<std::int32_t> cpus;
    bool new_session = false;
    bool no_new_privileges = false;
    bool outlives = false; // the primary
    /// Standard input, output and error: as the zygote has them, /dev/null, or which of the
    /// descriptors that came along; 0 is the channel, 1 where the end is told.
    std::array<std::int32_t, 3> standard{keep, keep, keep};

    static constexpr std::int32_t keep = -1;
    static constexpr std::int32_t ignore = -2;
    static constexpr std::size_t first_standard = 2;
};

/// A new worker, or why there is none: the errno of what failed.
struct fork_result {
    std::int32_t pid = -1;
    std::int32_t error = 0;
};

/// How a worker ended.
struct end_notice {
    std::int32_t how = 0;
    std::int32_t value = 0;
    bool core_dumped = false;
};

/// One end of the socket between a primary and its zygote. Messages are small and the other side
/// reads at once: both ends block.
class zygote_link {
public:
    static constexpr int patience = 30'000; // milliseconds

    zygote_link() noexcept = default;
    explicit zygote_link(unique_fd socket) noexcept : socket_{std::move(socket)} {}

    [[nodiscard]] int get() const noexcept { return socket_.get(); }
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }
    void close() noexcept { socket_.reset(); }

    template <typename Message>
    bool send(const Message& message, std::span<const int> passed) {
        byte_buffer out;
        static_cast<void>(out.extend(sizeof(std::uint32_t)));
        encode_wire(message, out);
        auto size = static_cast<std::uint32_t>(out.size() - sizeof(std::uint32_t));
        std::memcpy(out.data(), &size, sizeof size); // both ends are the same program
        while (!out.empty()) {
            auto sent = passed.empty()
                            ? os::send(socket_.get(), out.span())
                            : os::send_with_descriptors(socket_.get(), out.span(), passed);
            if (sent.error != 0 && !sent.would_block()) {
                return false;
            }
            passed = sent.bytes != 0 ? std::span<const int>{} : passed;
            out.consume_front(sent.bytes);
            if (sent.bytes == 0 && !os::wait_for(socket_.get(), true, patience)) {
                return false;
            }
        }
        return true;
    }

    template <typename Message>
    bool receive(Message& message, std::vector<unique_fd>& descriptors) {
        std::uint32_t size = 0;
        std::array<std::byte, 256> start; // as a rule all of it; nothing comes behind it
        auto got = read(start, sizeof size, descriptors);
        if (got < sizeof size) {
            return false;
        }
        std::memcpy(&size, start.data(), sizeof size);
        auto there = std::span{start}.first(got).subspan(sizeof size);
        if (there.size() >= size) {
            return decode_wire(there.first(size), message);
        }
        std::vector<std::byte> payload(size < longest ? size : there.size());
        std::memcpy(payload.data(), there.data(), there.size());
        auto rest = std::span{payload}.subspan(there.size());
        return read(rest, rest.size(), descriptors) == rest.size() && decode_wire(payload, message);
    }

private:
    static constexpr std::uint32_t longest = 16U << 20U;

    /// Waits for `least` bytes. \returns how many came; fewer when the other side is gone
    std::size_t
    read(std::span<std::byte> into, std::size_t least, std::vector<unique_fd>& descriptors) {
        std::size_t all = 0;
        while (all < least) {
            os::received_descriptors came;
            auto got = os::receive_with_descriptors(socket_.get(), into.subspan(all), came);
            if (got.would_block() && os::wait_for(socket_.get(), false, patience)) {
                continue;
            }
            if (got.error != 0 || got.bytes == 0) {
                break;
            }
            for (auto& each : came.take()) {
                descriptors.push_back(std::move(each));
            }
            all += got.bytes;
        }
        return all;
    }

    unique_fd socket_;
};

/// The process itself. serve() does not return but in a worker.
class zygote_process {
public:
    zygote_process(unique_fd socket, std::shared_ptr<const worker_entry> entry)
        : link_{std::move(socket)}, entry_{std::move(entry)} {
        int kept = link_.get();
        os::close_private_descriptors({&kept, 1});
        for (const char* name : service_variables) {
            os::change_variable(name, std::nullopt);
        }
        os::set_thread_name("zygote");
        entry_->prepare();
        rehearse();
    }
    zygote_process(zygote_process&&) = delete;
    zygote_process& operator=(zygote_process&&) = delete;

    /// Until the primary is gone.
    [[noreturn]] void serve() {
        link_.send(fork_result{os::process_id(), 0}, {}); // we are here
        for (;;) {
            auto woken =
                signals_.wait(link_.get(), next_is_due_ ? moment : os::quiet_signals::forever);
            while (auto ended = os::reap_any()) {
                tell(*ended);
            }
            if (woken == os::quiet_signals::by_descriptor) {
                answer() ? void() : end();
            } else if (next_is_due_ && !os::wait_for(link_.get(), false, 0)) {
                fork_ahead(); // who has asked by now is answered by a copy that need not wait
            }
        }
    }

    /// A copy of this process, a worker, becomes the next zygote. \returns in the worker
    static void refork(unique_fd socket, const std::shared_ptr<const worker_entry>& entry) {
        zygote_link link{std::move(socket)};
        bool alone = os::is_single_threaded();
        int pid = alone ? os::fork_process() : -1;
        if (pid == 0) {
            zygote_process{unique_fd{os::duplicate(link.get())}, entry}.serve();
        }
        if (pid == -1) {
            link.send(fork_result{-1, alone ? errno : EBUSY}, {});
        }
    }

private:
    struct child {
        int pid;
        bool outlives;
        unique_fd notice;
    };

    /// The next worker, which waits for what it becomes.
    struct waiting_child {
        int pid = -1;
        zygote_link link;
    };

    // By then the one before listens and has answered whoever waited for it, which on few CPUs the
    // copy would hold up; and who starts many at once has asked again. Who asks after a death asks
    // soon: nothing is waited for then.
    static constexpr std::chrono::microseconds moment{1000};

    // That it does what every worker does first lets the dynamic linker find the functions, the
    // kernel the pages and malloc the memory before anybody waits for it: a third of a worker's
    // start.
    void rehearse() noexcept {
        try {
            event_loop loop;
            connection_account account{loop, {}};
            loop.after(std::chrono::hours{1}, [] {});
            loop.poll();
            std::array<std::byte, 1> nothing{};
            os::peek(link_.get(), nothing);
            os::wait_for(link_.get(), true, 0);
            os::parse_address("127.0.0.1");
        } catch (...) { // the worker will say what is missing
        }
    }

    bool answer() {
        fork_plan plan;
        std::vector<unique_fd> descriptors;
        if (!link_.receive(plan, descriptors) || descriptors.size() < fork_plan::first_standard) {
            return false;
        }
        int pid = hand_over(plan, descriptors);
        if (pid == -1) {
            pid = os::fork_silent_process();
        }
        if (pid == 0) {
            children_.clear();
            next_ = {};
            become_worker(plan, descriptors);
        }
        if (pid == -1) {
            return link_.send(fork_result{-1, errno}, {});
        }
        children_.push_back({pid, plan.outlives, std::move(descriptors[1])});
        next_is_due_ = true;
        return true;
    }

    /// \returns who becomes it, -1 when nobody waits for it
    int hand_over(const fork_plan& plan, const std::vector<unique_fd>& descriptors) {
        auto to = std::exchange(next_, {});
        std::vector<int> passed;
        for (const auto& each : descriptors) {
            passed.push_back(each.get());
        }
        return to.link && to.link.send(plan, passed) ? to.pid : -1;
    }

    void fork_ahead() {
        next_is_due_ = false; // whatever comes of it
        unique_fd ours;
        unique_fd theirs;
        if (os::make_channel(ours, theirs)) {
            return;
        }
        int pid = os::fork_silent_process();
        if (pid == 0) {
            ours.reset();
            await_plan(zygote_link{std::move(theirs)});
        }
        if (pid != -1) {
            next_ = {pid, zygote_link{std::move(ours)}};
        }
    }

    /// In the next worker, which ends when the zygote does.
    [[noreturn]] void await_plan(zygote_link zygote) {
        children_.clear();
        if (!os::wait_for_either(link_.get(), zygote.get(), 0)) { // nobody waits for it
            rehearse();
        }
        fork_plan plan;
        std::vector<unique_fd> descriptors;
        if (!os::wait_for(zygote.get(), false, -1) || !zygote.receive(plan, descriptors)) {
            os::exit_now(0);
        }
        zygote.close();
        signals_.forget_what_came();
        become_worker(plan, descriptors);
    }

    /// When it is all that it was asked to be, it answers the primary; when it dies before that, its
    /// end is told and nothing else.
    [[noreturn]] void become_worker(const fork_plan& plan, std::vector<unique_fd>& descriptors) {
        int pid = os::process_id();
        unique_fd handle = os::open_pidfd(pid); // before a limit forbids it
        int passed = handle.get();
        int error = set_up(plan, descriptors);
        link_.send(fork_result{error == 0 ? pid : -1, error},
                   {&passed, handle ? std::size_t{1} : std::size_t{0}});
        if (error != 0) {
            os::exit_now(127);
        }
        handle.reset();
        link_.close();
        unique_fd channel = std::move(descriptors[0]);
        descriptors.clear();
        signals_.restore();
        std::exit(run(std::move(channel)));
    }

    // What it throws ends the worker as it would end a program.
    int run(unique_fd channel) noexcept {
        worker_surroundings where;
        where.refork = [entry = entry_](unique_fd socket) { refork(std::move(socket), entry); };
        return entry_->run(std::move(channel), std::move(where));
    }

    static int set_up(const fork_plan& plan, const std::vector<unique_fd>& descriptors) {
        for (int number = 0; number != 3; ++number) {
            auto which = plan.standard[static_cast<std::size_t>(number)];
            bool given = which >= 0 && static_cast<std::size_t>(which) < descriptors.size();
            int from = given ? descriptors[static_cast<std::size_t>(which)].get() : -1;
            if (which != fork_plan::keep && !os::put_descriptor(number, from)) {
                return errno;
            }
        }
        for (const auto& each : plan.environment) {
            os::change_variable(each.name, each.value);
        }
        std::vector<os::resource_limit> limits;
        for (const auto& each : plan.limits) {
            limits.push_back({each.which, each.soft, each.hard});
        }
        os::spawn_request request;
        request.directory = plan.directory.empty() ? nullptr : plan.directory.c_str();
        request.user = plan.user;
        request.group = plan.group;
        request.limits = limits;
        request.nice_value = plan.nice;
        request.umask_value = plan.umask;
        request.affinity = plan.cpus;
        request.new_session = plan.new_session;
        request.no_new_privileges = plan.no_new_privileges;
        return os::set_up_child(request);
    }

    void tell(const os::ended_child& ended) {
        if (ended.pid == next_.pid) {
            next_ = {};
        }
        for (auto each = children_.begin(); each != children_.end(); ++each) {
            if (each->pid == ended.pid) {
                byte_buffer out;
                encode_wire(end_notice{static_cast<std::int32_t>(ended.how.how),
                                       ended.how.value,
                                       ended.how.core_dumped},
                            out);
                os::write_if_possible(each->notice.get(), out.span());
                children_.erase(each);
                return;
            }
        }
    }

    // As PR_SET_PDEATHSIG does it for workers that were started anew.
    [[noreturn]] void end() noexcept {
        for (const auto& each : children_) {
            if (!each.outlives) {
                os::kill_process(each.pid, SIGKILL);
            }
        }
        if (next_.pid != -1) { // it would end by itself, but perhaps later than somebody looks
            os::kill_process(next_.pid, SIGKILL);
            os::child_process{next_.pid, {}}.wait();
        }
        os::exit_now(0);
    }

    zygote_link link_;
    std::shared_ptr<const worker_entry> entry_;
    os::quiet_signals signals_;
    std::vector<child> children_;
    waiting_child next_;
    bool next_is_due_ = false; // a moment from now
};

/// A worker that a zygote has forked: its end comes by a pipe, with the reason; when the zygote has
/// died first, by its pidfd, without one where the kernel does not remember it.
class forked_worker final : public worker_process {
public:
    forked_worker(int pid, unique_fd pidfd, unique_fd notice) noexcept
        : worker_process{os::child_process{pid, std::move(pidfd)}},
          notice_{std::move(notice)},
          told_{!notice_} {}

    [[nodiscard]] inline int descriptor() const noexcept override {
        return told_ ? child_.pidfd() : notice_.get();
    }
    inline std::error_code signal(int number) noexcept override {
        return end_ ? std::make_error_code(std::errc::no_such_process) : child_.signal(number);
    }
    inline std::optional<os::exit_info> try_wait() noexcept override {
        if (!end_ && !told_) {
            read_notice();
        }
        if (!end_ && told_ && has_vanished()) {
            end_ = child_.recorded_exit(2);
        }
        return end_;
    }
    inline void wait() noexcept override {
        while (!try_wait()) {
            os::wait_for(descriptor(), false, descriptor() == -1 ? 10 : -1);
        }
    }

private:
    void read_notice() noexcept {
        std::array<std::byte, 64> buffer;
        auto got = os::read_some(notice_.get(), buffer);
        if (got.would_block()) {
            return;
        }
        end_notice notice;
        if (got.bytes != 0 && decode_wire(std::span{buffer}.first(got.bytes), notice)) {
            end_ = os::exit_info{
                static_cast<os::exit_info::kind>(notice.how), notice.value, notice.core_dumped};
        }
        told_ = true;
    }
    [[nodiscard]] bool has_vanished() const noexcept {
        return child_.pidfd() != -1 ? os::wait_for(child_.pidfd(), false, 0)
                                    : !os::process_exists(pid());
    }

    unique_fd notice_; // stays open as long as a loop may watch it
    bool told_;        // all that comes by it has come
    std::optional<os::exit_info> end_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ZYGOTE_HPP
