// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TRANSPORT_SHARED_MEMORY_HPP
#define CLUSTER_TRANSPORT_SHARED_MEMORY_HPP

#include "../detail/chrono.hpp"
#include "../detail/memory.hpp"
#include "../detail/ring_page.hpp"
#include "../ipc/frame.hpp"
#include "../ipc/ring_carrier.hpp"
#include "../ipc/socket_carrier.hpp"
#include "../unique_fd.hpp"
#include "concept.hpp"

#include <bit>
#include <cstddef>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace transport {

/// How a transport by shared memory is made.
struct shared_memory_options {
    /// Bytes of each direction's ring, a power of two. Memory is only used as far as it is written.
    std::size_t ring = std::size_t{256} * 1024;
    /// How long a side looks out for messages before it sleeps, where they came that quickly lately.
    /// Costs that much of a CPU; worth it where there are more CPUs than loops that are busy. A
    /// round trip takes less than a microsecond then, instead of two wakes. 0: not at all.
    unsigned spin_microseconds = 0;
};

/// A `transport_policy`: a ring in memory that both processes map for each direction, beside the
/// socket. Messages are encoded where the worker reads them; a system call is made only to wake a
/// side that sleeps, and for descriptors. The primary has five descriptors for a worker instead of two. What is sent before a process dies arrives. Nothing that a
/// worker does to the memory hurts more than its own channel.
///
/// A system that does not give the memory (a sandbox, a limit of file sizes) leaves that worker with
/// the socket; `capabilities().shared_memory` tells why.
template <shared_memory_options Options = shared_memory_options{}>
struct basic_shared_memory {
    static_assert(
        std::has_single_bit(Options.ring) && Options.ring >= 64U * 1024U &&
            Options.ring <= 1024U * 1024U * 1024U,
        "transport::shared_memory: the ring must be a power of two from 64 KiB to 1 GiB.");
    static_assert(
        Options.spin_microseconds <= 10'000,
        "transport::shared_memory: looking out longer than 10 ms is a busy loop; let it sleep.");

    /// The primary's end.
    static std::unique_ptr<detail::carrier> open(unique_fd channel,
                                                 detail::transport_memory& memory) {
        std::error_code error;
        auto rings = detail::ring_mapping::create(Options.ring, memory.descriptor, error);
        detail::ring_bells bells;
        if (!error) {
            bells = detail::ring_bells::make(memory.worker_hears, memory.worker_rings, error);
        }
        if (error) {
            memory.descriptor.reset();
            return std::make_unique<detail::socket_carrier>(std::move(channel));
        }
        memory.ring = Options.ring;
        return make(
            std::move(channel), std::move(rings), std::move(bells), detail::direction::to_primary);
    }
    /// The worker's end.
    static std::unique_ptr<detail::carrier>
    join(unique_fd channel, detail::transport_memory& memory, std::error_code& error) {
        auto rings = detail::ring_mapping::open(
            memory.descriptor.get(), static_cast<std::size_t>(memory.ring), error);
        if (error) {
            return nullptr;
        }
        return make(std::move(channel),
                    std::move(rings),
                    {std::move(memory.worker_hears), std::move(memory.worker_rings), {}},
                    detail::direction::to_worker);
    }

private:
    static std::unique_ptr<detail::carrier> make(unique_fd channel,
                                                 detail::ring_mapping rings,
                                                 detail::ring_bells bells,
                                                 detail::direction incoming) {
        return std::make_unique<detail::ring_carrier>(
            std::move(channel),
            std::move(rings),
            std::move(bells),
            incoming,
            std::chrono::microseconds{Options.spin_microseconds});
    }
};

/// The same with a ring of 256 KiB for each direction, without spinning.
using shared_memory = basic_shared_memory<>;

static_assert(transport_policy<shared_memory>);

} // namespace transport
} // namespace v0
} // namespace cluster

#endif // CLUSTER_TRANSPORT_SHARED_MEMORY_HPP
