// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP
#define CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/environment_block.hpp"
#include "../../detail/hash_map.hpp"
#include "../../detail/os.hpp"
#include "../../detail/os/linux/sandbox.hpp"
#include "../../error.hpp"
#include "pool_page.hpp"
#include "task_registry.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
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
            request_header request;
            std::array<std::byte, sizeof request> head;
            read(head.data(), head.size());
            std::memcpy(&request, head.data(), sizeof request);
            arguments_.clear();
            arguments_.shrink(most_kept);
            const auto size = static_cast<std::size_t>(request.size);
            read(arguments_.extend(size), size);
            if (page_.claim(request.sequence)) {
                serve(request);
            }
        }
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr int yields = 16;
    static constexpr std::size_t most_kept = std::size_t{1} << 20U;

    void serve(const request_header& request) {
        result_header answer;
        answer.sequence = request.sequence;
        result_.clear();
        result_.shrink(most_kept);
        const auto begin = last_end_ == clock::time_point{} ? clock::now() : last_end_;
        try {
            call(request);
        } catch (...) {
            result_.clear();
            encode_exception(result_);
            answer.kind = result_kind::exception;
        }
        last_end_ = clock::now(); // where the next one begins, unless it has to be waited for
        answer.run_nanoseconds = static_cast<std::uint64_t>((last_end_ - begin).count());
        answer.size = result_.size();
        std::array<std::byte, sizeof answer> head;
        std::memcpy(head.data(), &answer, sizeof answer);
        write(head);
        write(result_.span());
        results_.publish();
        ring_parent();
    }

    void call(const request_header& request) {
        const auto function = find(request.function);
        if (request.memory == 0 && request.cpu_seconds == 0) {
            function(arguments_.span(), request.count, result_);
            return;
        }
        const os::temporary_limits limits{request.memory, request.cpu_seconds};
        function(arguments_.span(), request.count, result_);
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

    void read(std::byte* into, std::size_t count) {
        while (count != 0) {
            const std::size_t there = requests_.available();
            if (there == 0) {
                wait([this] { return requests_.available() != 0; });
                continue;
            }
            const std::size_t part = there < count ? there : count;
            requests_.take(into, part);
            requests_.release();
            into += part;
            count -= part;
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (page_.parent_wants_room.load(std::memory_order_relaxed) != 0 &&
                page_.parent_wants_room.exchange(0) != 0) {
                os::wakeup::notify(doorbell_descriptor);
            }
        }
    }

    void write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const std::size_t room = results_.room();
            if (room == 0) {
                results_.publish();
                ring_parent();
                wait([this] { return results_.room() != 0; });
                continue;
            }
            const std::size_t part = room < bytes.size() ? room : bytes.size();
            results_.put(bytes.first(part));
            bytes = bytes.subspan(part);
        }
    }

    void ring_parent() noexcept {
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (page_.parent_waits.load(std::memory_order_relaxed) != 0 &&
            page_.parent_waits.exchange(0) != 0) {
            os::wakeup::notify(doorbell_descriptor);
        }
    }

    template <typename Condition>
    void wait(Condition condition) {
        last_end_ = {};
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
    clock::time_point last_end_{};
    number_map<task_function::call_type> known_;
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
