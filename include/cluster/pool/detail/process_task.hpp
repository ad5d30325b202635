// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_TASK_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_TASK_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/counted.hpp"
#include "../../stop_token.hpp"
#include "../error.hpp"
#include "../options.hpp"
#include "pool_page.hpp"
#include "task_registry.hpp"
#include "task_state.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a process pool's engine knows of a task: its request, its options, and how to settle it.
class process_task {
public:
    using clock = std::chrono::steady_clock;

    /// \param state of the same object
    explicit process_task(task_state_base& state) noexcept : state_{state} {}
    process_task(process_task&&) = delete;
    process_task& operator=(process_task&&) = delete;

    void add_reference() noexcept { state_.add_reference(); }
    void release() noexcept { state_.release(); }
    using outcome = task_state_base::outcome;

    /// The bytes of the result have arrived.
    [[nodiscard]] virtual outcome finish(std::span<const std::byte> result) noexcept = 0;
    /// Wakes who waits for the result.
    void wake() noexcept { state_.wake(); }
    /// \pre it has no link
    void settle_only_for(const void* engine) noexcept { state_.settle_only_for(engine); }
    /// \returns whether this was what settled it
    bool fail(std::exception_ptr error) noexcept { return state_.fail(std::move(error)); }
    [[nodiscard]] bool is_settled() const noexcept { return state_.is_settled(); }
    /// Runs the function here: the queue is full.
    virtual void run_here() noexcept = 0;

    /// Bytes that the request takes in the worker's ring.
    [[nodiscard]] std::size_t request_size() const noexcept {
        return sizeof(request_header) + (has_options ? sizeof options : 0) + arguments.size();
    }

    std::uint64_t function = 0; // task_function::id
    bool has_options = false;
    request_options options;
    byte_buffer arguments = byte_buffer::over(small_);
    std::chrono::nanoseconds timeout{0};
    int priority = 0;
    unsigned retries = 0;
    unsigned losses = 0;           // workers that died when it was next
    clock::time_point submitted{}; // none: not looked at
    std::uint32_t speaks_for = 0;  // tasks whose wait this one's stands for

    /// Tells the engine that the stop token wants the task cancelled.
    struct canceller {
        void (*cancel)(void* engine, process_task& task) noexcept;
        void* engine;
        process_task* task;
        void operator()() const noexcept { cancel(engine, *task); }
    };
    std::optional<stop_callback<canceller>> link;

protected:
    ~process_task() = default;

private:
    task_state_base& state_;
    std::array<std::byte, 64> small_; // for the arguments of most tasks
};

/// Reads what encode_exception() wrote. \returns null when it is not that
inline std::exception_ptr decode_exception(std::span<const std::byte> bytes) {
    std::string texts[2];
    for (auto& each : texts) {
        std::span<const std::byte> part;
        if (cut_sized(bytes, part)) {
            return nullptr;
        }
        each.assign(reinterpret_cast<const char*>(part.data()), part.size());
    }
    return std::make_exception_ptr(task_failed{std::move(texts[0]), texts[1]});
}

inline std::exception_ptr bad_result(std::error_code error) {
    return std::make_exception_ptr(
        task_failed{"std::error_code", "the result of the worker: " + error.message()});
}

/// A task whose result is an `R`; `Decode(bytes, stored_value<R>&)` reads it.
template <typename R, typename Decode>
class remote_task final : public task_state<R>, public process_task {
public:
    using outcome = task_state_base::outcome;
    using process_task::add_reference;
    using process_task::fail;
    using process_task::is_settled;
    using process_task::release;
    using process_task::settle_only_for;
    using process_task::wake;

    explicit remote_task(Decode decode)
        : process_task{static_cast<task_state_base&>(*this)}, decode_{std::move(decode)} {}

    [[nodiscard]] outcome finish(std::span<const std::byte> result) noexcept override {
        stored_value<R> value{};
        std::exception_ptr error;
        try {
            if (const std::error_code bad = decode_(result, value)) {
                error = bad_result(bad);
            }
        } catch (...) {
            error = std::current_exception();
        }
        if (error) {
            fail(std::move(error));
            return outcome::done;
        }
        if (!link) {
            return this->claim_alone() ? this->settle_alone(std::move(value)) : outcome::done;
        }
        const bool sleeps = this->claim() && this->settle_quietly(std::move(value));
        return sleeps ? outcome::waited : outcome::done;
    }

    void run_here() noexcept override {
        const auto* called = task_function::find(function);
        std::exception_ptr error;
        byte_buffer result;
        try {
            called->call()(arguments.span(), options.count, result);
        } catch (...) {
            result.clear();
            try {
                encode_exception(result);
                error = decode_exception(result.span());
            } catch (...) {
                error = std::current_exception();
            }
        }
        if (error) {
            fail(std::move(error));
        } else if (finish(result.span()) == outcome::waited) {
            wake();
        }
    }

private:
    Decode decode_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_TASK_HPP
