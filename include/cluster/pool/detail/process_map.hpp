// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_PROCESS_MAP_HPP
#define CLUSTER_POOL_DETAIL_PROCESS_MAP_HPP

#include "../../byte_buffer.hpp"
#include "process_task.hpp"
#include "task_registry.hpp"
#include "task_state.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What came of a chunk: the values up to the first element that threw.
template <typename R>
struct chunk_result {
    std::vector<stored_value<R>> values;
    std::exception_ptr error;
};

/// Reads what call_for_each() wrote.
template <typename R, typename Serializer>
std::error_code decode_chunk(std::span<const std::byte> bytes, chunk_result<R>& into) {
    while (!bytes.empty() && !into.error) {
        const bool threw = bytes.front() != std::byte{0};
        bytes = bytes.subspan(1);
        std::span<const std::byte> part;
        if (const auto error = cut_sized(bytes, part)) {
            return error;
        }
        if (threw) {
            into.error = decode_exception(part);
            return into.error ? std::error_code{} : make_error_code(errc::bad_payload);
        }
        stored_value<R>& value = into.values.emplace_back();
        if constexpr (!std::is_void_v<R>) {
            Serializer serializer;
            if (const auto error = serializer.decode(part, value)) {
                return error;
            }
        }
    }
    return {};
}

/// How far the chunks of a map() are.
class map_progress {
public:
    void add(std::size_t elements) noexcept {
        elements_.fetch_add(elements);
        chunks_.fetch_add(1);
        os::futex_wake_all(chunks_);
    }
    /// Blocks until `chunks` have ended; calls `progress(elements)` meanwhile.
    template <typename Progress>
    void wait(std::uint32_t chunks, Progress progress) {
        std::size_t told = 0;
        for (;;) {
            const std::uint32_t ended = chunks_.load();
            const std::size_t elements = elements_.load();
            if (elements != told) {
                told = elements;
                progress(elements);
            }
            if (ended == chunks) {
                return;
            }
            os::futex_wait(chunks_, ended);
        }
    }

private:
    std::atomic<std::size_t> elements_{0};
    os::futex_word chunks_{0};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_PROCESS_MAP_HPP
