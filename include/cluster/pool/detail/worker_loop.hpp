// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP
#define CLUSTER_POOL_DETAIL_WORKER_LOOP_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/environment_block.hpp"
#include "../../detail/fence.hpp"
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
            read_request();
            const bool mine = page_.claim(request_.sequence);
            ring_parent(); // for the one before, behind a fence that there is already
            if (mine) {
                serve();
            }
        }
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr int yields = 16;
    static constexpr std::size_t most_kept = std::size_t{1} << 20U;
    static constexpr std::size_t most_direct = 2048; // bytes of an answer
    static constexpr unsigned most_measured = 16;    // tasks with one look at the clock

    /// What it leaves in `arguments_` is good until the next one is read.
    void read_request() {
        read_object(request_);
        options_ = {};
        if (request_.has_options != 0) {
            read_object(options_);
        }
        arguments_ = read(static_cast<std::size_t>(request_.size));
    }

    /// Most results are encoded where the parent reads them.
    void serve() {
        if (std::byte* const place = results_.piece(most_direct)) {
            auto direct = byte_buffer::over(
                {place + sizeof(result_header), most_direct - sizeof(result_header)});
            run(direct, place);
            results_.advance(sizeof(result_header));
            if (direct.is_foreign()) {
                results_.advance(direct.size());
            } else {
                put(direct.span());
            }
        } else {
            std::array<std::byte, sizeof(result_header)> head;
            result_.clear();
            result_.shrink(most_kept);
            run(result_, head.data());
            put(head);
            put(result_.span());
        }
        results_.publish();
    }

    /// Calls the function, and writes the result's header.
    void run(byte_buffer& result, std::byte* head) {
        auto kind = result_kind::value;
        if (begin_ == clock::time_point{}) {
            begin_ = clock::now();
        }
        try {
            call(result);
        } catch (...) {
            result.truncate(0);
            encode_exception(result);
            kind = result_kind::exception;
        }
        const auto [duration, tasks] = measure();
        write_words(head,
                    std::uint64_t{result.size()},
                    duration,
                    request_.sequence,
                    static_cast<std::uint16_t>(kind),
                    static_cast<std::uint16_t>(tasks));
    }

    struct measurement {
        std::uint64_t nanoseconds = 0;
        unsigned tasks = 0;
    };

    /// Short tasks share a look at the clock, which would cost more than they do; but none is
    /// answered and not measured when there is nothing else to do.
    measurement measure() noexcept {
        ++unmeasured_;
        if (unmeasured_ < measured_together_ && has_more()) {
            return {};
        }
        constexpr std::uint64_t together = 4'000; // nanoseconds
        const auto now = clock::now(); // where the next one begins, unless it is waited for
        const measurement result{static_cast<std::uint64_t>((now - begin_).count()), unmeasured_};
        const std::uint64_t fit = together * unmeasured_ / (result.nanoseconds + 1);
        measured_together_ = fit < most_measured ? static_cast<unsigned>(fit) : most_measured;
        begin_ = now;
        unmeasured_ = 0;
        return result;
    }

    void call(byte_buffer& result) {
        if (request_.function != last_id_ || last_function_ == nullptr) {
            last_function_ = find(request_.function);
            last_id_ = request_.function;
        }
        if (options_.memory == 0 && options_.cpu_seconds == 0) {
            last_function_(arguments_, options_.count, result);
            return;
        }
        const os::temporary_limits limits{options_.memory, options_.cpu_seconds};
        last_function_(arguments_, options_.count, result);
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
        std::memcpy(&into, read(sizeof into).data(), sizeof into);
    }

    /// The next bytes of the stream, which is taken out of the ring as it comes, many requests at a
    /// time: what has not been claimed is still the parent's to give to others.
    std::span<const std::byte> read(std::size_t count) {
        while (received_.size() - used_ < count) {
            received_.consume_front(std::exchange(used_, 0));
            received_.shrink(most_kept);
            if (!take_in()) {
                wait([this] { return requests_.available() != 0; });
            }
        }
        return received_.span().subspan(std::exchange(used_, used_ + count), count);
    }

    bool take_in() {
        const std::size_t there = requests_.available();
        if (there == 0) {
            return false;
        }
        requests_.take(received_.extend(there), there);
        requests_.release();
        return true;
    }

    /// Whether there is another request, or a part of one.
    [[nodiscard]] bool has_more() noexcept {
        return received_.size() != used_ || requests_.available() != 0;
    }

    void put(std::span<const std::byte> bytes) {
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

    /// After what the parent may wait for and a fence, and before this side waits.
    void ring_parent() noexcept {
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
        full_fence();
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
            full_fence();
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
    byte_buffer received_;
    std::size_t used_ = 0; // of that
    std::span<const std::byte> arguments_;
    byte_buffer result_;
    request_header request_;
    request_options options_;
    clock::time_point begin_{};      // of what is not measured yet
    unsigned unmeasured_ = 0;        // tasks since then
    unsigned measured_together_ = 1; // tasks, by how long they take
    std::uint64_t last_id_ = 0;
    task_function::call_type last_function_ = nullptr;
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
