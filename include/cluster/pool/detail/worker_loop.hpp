// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP
#define CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/environment_block.hpp"
#include "../../detail/os.hpp"
#include "../../detail/os/linux/sandbox.hpp"
#include "../../error.hpp"
#include "pool_page.hpp"
#include "task_registry.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A pool's worker from its side: reads requests, runs them, writes results, until it is told to
/// end, or is killed with its parent.
class worker_loop {
public:
    explicit worker_loop(os::shared_mapping mapping) noexcept
        : mapping_{std::move(mapping)},
          page_{*std::launder(static_cast<pool_page*>(mapping_.data()))},
          requests_{page_.requests, page_.request_bytes, pool_ring_bytes},
          results_{page_.results, page_.result_bytes, pool_ring_bytes} {}

    [[noreturn]] void run() {
        if (page_.sandbox == 2) {
            if (const auto error = os::allow_only_computing()) {
                throw std::system_error(error, "the sandbox of the pool");
            }
        }
        page_.ready.store(1);
        os::wakeup::notify(doorbell_descriptor);
        for (;;) {
            read_request();
            if (page_.claim(request_.sequence)) {
                serve();
            }
        }
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr int yields = 16;
    static constexpr std::size_t most_kept = std::size_t{1} << 20U;
    static constexpr unsigned most_measured = 16; // tasks with one look at the clock

    void read_request() {
        read_object(request_);
        options_ = {};
        if (request_.has_options != 0) {
            read_object(options_);
        }
        arguments_.clear();
        arguments_.shrink(most_kept);
        const auto size = static_cast<std::size_t>(request_.size);
        read(arguments_.extend(size), size);
    }

    /// The result is put together behind its header, and written as one.
    void serve() {
        result_.clear();
        result_.shrink(most_kept);
        static_cast<void>(result_.extend(sizeof(result_header)));
        result_header answer;
        answer.sequence = request_.sequence;
        if (begin_ == clock::time_point{}) {
            begin_ = clock::now();
        }
        try {
            call();
        } catch (...) {
            result_.truncate(sizeof answer);
            encode_exception(result_);
            answer.kind = result_kind::exception;
        }
        measure(answer);
        answer.size = result_.size() - sizeof answer;
        std::memcpy(result_.data(), &answer, sizeof answer);
        write(result_.span());
        results_.publish();
        ring_parent();
    }

    /// Short tasks share a look at the clock, which would cost more than they do; but none is
    /// answered and not measured when there is nothing else to do.
    void measure(result_header& answer) noexcept {
        ++unmeasured_;
        if (unmeasured_ < measured_together_ && requests_.has(sizeof(request_header))) {
            return;
        }
        constexpr std::uint64_t together = 4'000; // nanoseconds
        const auto now = clock::now(); // where the next one begins, unless it is waited for
        answer.run_nanoseconds = static_cast<std::uint64_t>((now - begin_).count());
        answer.measured = static_cast<std::uint16_t>(unmeasured_);
        const std::uint64_t fit = together * unmeasured_ / (answer.run_nanoseconds + 1);
        measured_together_ = fit < most_measured ? static_cast<unsigned>(fit) : most_measured;
        begin_ = now;
        unmeasured_ = 0;
    }

    void call() {
        if (request_.function != last_id_ || last_function_ == nullptr) {
            last_function_ = find(request_.function);
            last_id_ = request_.function;
        }
        if (options_.memory == 0 && options_.cpu_seconds == 0) {
            last_function_(arguments_.span(), options_.count, result_);
            return;
        }
        const os::temporary_limits limits{options_.memory, options_.cpu_seconds};
        last_function_(arguments_.span(), options_.count, result_);
    }

    task_function::call_type find(std::uint64_t id) {
        auto& known = known_[id];
        if (known == nullptr) {
            const auto* found = task_function::find(id);
            if (found == nullptr) {
                throw std::logic_error("the worker does not have the function: is it in a library "
                                       "that is loaded later?");
            }
            known = found->call();
        }
        return known;
    }

    // --- The rings -----------------------------------------------------------------------------

    template <typename T>
    void read_object(T& into) {
        if (requests_.has(sizeof into)) {
            requests_.take_object(into);
            requests_.release();
        } else {
            read(reinterpret_cast<std::byte*>(&into), sizeof into);
        }
    }

    void read(std::byte* into, std::size_t count) {
        while (count != 0) {
            const std::size_t part = requests_.available_of(count);
            if (part == 0) {
                wait([this] { return requests_.available() != 0; });
                continue;
            }
            requests_.take(into, part);
            requests_.release();
            into += part;
            count -= part;
        }
    }

    void write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const std::size_t part = results_.room_of(bytes.size());
            if (part == 0) {
                results_.publish();
                wait([this] { return results_.room() != 0; });
                continue;
            }
            results_.put(bytes.first(part));
            bytes = bytes.subspan(part);
        }
    }

    /// Behind all that the parent may wait for, and before this side waits.
    void ring_parent() noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const bool results = page_.parent_waits.load(std::memory_order_relaxed) != 0 &&
                             page_.parent_waits.exchange(0) != 0;
        const bool room = page_.parent_wants_room.load(std::memory_order_relaxed) != 0 &&
                          page_.parent_wants_room.exchange(0) != 0;
        if (results || room) {
            os::wakeup::notify(doorbell_descriptor);
        }
    }

    template <typename Condition>
    void wait(Condition condition) {
        ring_parent();
        begin_ = {};
        for (int i = 0; i != yields && !condition(); ++i) {
            os::yield_cpu(); // the parent may be in the middle of sending more
        }
        while (!condition()) {
            if (page_.quit.load() != 0) {
                std::exit(0);
            }
            page_.worker_waits.store(1);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (condition() || page_.quit.load() != 0) {
                page_.worker_waits.store(0, std::memory_order_relaxed);
                continue;
            }
            os::futex_wait(page_.worker_waits, 1, os::futex_scope::shared);
        }
    }

    os::shared_mapping mapping_;
    pool_page& page_;
    ring_reader requests_;
    ring_writer results_;
    byte_buffer arguments_;
    byte_buffer result_;
    request_header request_;
    request_options options_;
    clock::time_point begin_{};      // of what is not measured yet
    unsigned unmeasured_ = 0;        // tasks since then
    unsigned measured_together_ = 1; // tasks, by how long they take
    std::uint64_t last_id_ = 0;
    task_function::call_type last_function_ = nullptr;
    std::map<std::uint64_t, task_function::call_type> known_;
};

/// In a process that was started as the worker of a pool: serves, and does not return.
/// \throws std::system_error when the descriptor is not a pool's page: better no worker than a
/// second primary
inline void serve_if_pool_worker() {
    static std::atomic<bool> looked{false};
    if (looked.exchange(true)) {
        return;
    }
    if (!os::take_variable(std::string{pool_variable})) {
        return;
    }
    std::error_code error;
    auto mapping = os::shared_mapping::open(page_descriptor, sizeof(pool_page), error);
    if (error || static_cast<pool_page*>(mapping.data())->magic != pool_page::expected_magic) {
        throw std::system_error(
            make_error_code(errc::bad_descriptor),
            "CLUSTER_POOL_WORKER is set, but descriptor 3 is no page of a pool");
    }
    os::close_descriptor(page_descriptor);
    os::set_close_on_exec(doorbell_descriptor);
    worker_loop{std::move(mapping)}.run();
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP
