// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RING_BELLS_HPP
#define CLUSTER_DETAIL_RING_BELLS_HPP

#include "../unique_fd.hpp"
#include "os.hpp"

#include <array>
#include <cstddef>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// By what two processes that talk through shared memory wake each other: one end. A byte through
/// the socket would do, at twice the price of a wake.
///
/// A worker must not be able to hold its primary up, and the flags of an eventfd belong to all who
/// have it. So the primary hears one by its edges and never touches it, and rings a pipe, whose ends
/// have flags of their own. It keeps the pipe's other end: to write where nobody reads is a signal.
struct ring_bells {
    unique_fd heard; // readable, by an edge, when the peer has rung
    unique_fd rung;
    unique_fd kept; // of a primary: the worker's end of the pipe
    bool has_rung = false;

    /// The primary's end; the worker's are copies. An error leaves all as it was.
    static ring_bells
    make(unique_fd& worker_hears, unique_fd& worker_rings, std::error_code& error) noexcept {
        ring_bells made;
        unique_fd hears;
        unique_fd rings;
        error = os::make_pipe(made.kept, made.rung);
        if (!error) {
            os::set_nonblocking(made.rung.get(), true);
            made.heard = os::wakeup::make();
            rings = made.heard.duplicate();
            hears = made.kept.duplicate();
            if (!made.heard || !rings || !hears) {
                error = os::last_error();
            }
        }
        if (!error) {
            worker_hears = std::move(hears);
            worker_rings = std::move(rings);
        }
        return made;
    }

    /// A bell that is full has not been heard yet.
    void ring() const noexcept { os::wakeup::notify(rung.get()); }
    /// It has woken this side.
    void hear() noexcept { has_rung = true; }
    /// Makes it wait for the next one: before the peer is asked to ring again, or its ring is no
    /// edge in a pipe of Linux 5.5 to 5.13; and no sooner, as an answer would wait for this call.
    void quiet() noexcept {
        if (std::exchange(has_rung, false) && !kept) {
            std::array<std::byte, 512> forgotten;
            os::read_some(heard.get(), forgotten);
        }
    }
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RING_BELLS_HPP
