// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ZYGOTE_HPP
#define CLUSTER_DETAIL_ZYGOTE_HPP

#include "../backend/concept.hpp"
#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../fork_options.hpp"
#include "../ipc/wire.hpp"
#include "../unique_fd.hpp"
#include "chrono.hpp"
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
/// kills them when the primary is gone.

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
        std::array<std::byte, sizeof size> start{};
        if (!read(start, descriptors)) {
            return false;
        }
        std::memcpy(&size, start.data(), sizeof size);
        std::vector<std::byte> payload(size < longest ? size : 0);
        return read(payload, descriptors) && decode_wire(payload, message);
    }

private:
    static constexpr int patience = 30'000; // milliseconds
    static constexpr std::uint32_t longest = 16U << 20U;

    bool read(std::span<std::byte> into, std::vector<unique_fd>& descriptors) {
        while (!into.empty()) {
            if (!os::wait_for(socket_.get(), false, patience)) {
                return false;
            }
            os::received_descriptors came;
            auto got = os::receive_with_descriptors(socket_.get(), into, came);
            if (got.would_block()) {
                continue;
            }
            if (got.error != 0 || got.bytes == 0) {
                return false;
            }
            for (auto& each : came.take()) {
                descriptors.push_back(std::move(each));
            }
            into = into.subspan(got.bytes);
        }
        return true;
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
        os::set_thread_name("zygote");
    }
    zygote_process(zygote_process&&) = delete;
    zygote_process& operator=(zygote_process&&) = delete;

    /// Until the primary is gone.
    [[noreturn]] void serve() {
        link_.send(fork_result{os::process_id(), 0}, {}); // we are here
        for (;;) {
            signals_.wait_for_child_or(link_.get());
            while (auto ended = os::reap_any()) {
                tell(*ended);
            }
            if (os::wait_for(link_.get(), false, 0) && !answer()) {
                end();
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

    bool answer() {
        fork_plan plan;
        std::vector<unique_fd> descriptors;
        if (!link_.receive(plan, descriptors) || descriptors.size() < fork_plan::first_standard) {
            return false;
        }
        unique_fd done;
        unique_fd progress;
        if (auto error = os::make_pipe(progress, done)) {
            return link_.send(fork_result{-1, error.value()}, {});
        }
        os::set_nonblocking(progress.get(), false);
        int pid = os::fork_process();
        if (pid == 0) {
            progress.reset();
            become_worker(plan, descriptors, std::move(done));
        }
        if (pid == -1) {
            return link_.send(fork_result{-1, errno}, {});
        }
        done.reset();
        int error = 0;
        auto got = os::read_some(progress.get(), std::as_writable_bytes(std::span{&error, 1}));
        children_.push_back({pid, plan.outlives, std::move(descriptors[1])});
        if (got.bytes == sizeof error) { // else it has closed its end: it runs
            return link_.send(fork_result{-1, error}, {});
        }
        unique_fd handle = os::open_pidfd(pid);
        int passed = handle.get();
        return link_.send(fork_result{pid, 0}, {&passed, handle ? std::size_t{1} : std::size_t{0}});
    }

    [[noreturn]] void
    become_worker(const fork_plan& plan, std::vector<unique_fd>& descriptors, unique_fd done) {
        link_.close();
        children_.clear();
        unique_fd channel = std::move(descriptors[0]);
        descriptors[1].reset();
        if (int error = set_up(plan, descriptors)) {
            os::write_if_possible(done.get(), std::as_bytes(std::span{&error, 1}));
            os::exit_now(127);
        }
        descriptors.clear();
        done.reset();
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
        for (const char* name : service_variables) {
            os::change_variable(name, std::nullopt);
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
        os::exit_now(0);
    }

    zygote_link link_;
    std::shared_ptr<const worker_entry> entry_;
    os::quiet_signals signals_;
    std::vector<child> children_;
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
