// SPDX-License-Identifier: MIT
#ifndef CLUSTER_EVENT_HPP
#define CLUSTER_EVENT_HPP

#include "error.hpp"
#include "exit_status.hpp"
#include "fork_options.hpp"
#include "net/address.hpp"
#include "restart/concept.hpp"

#include <cstdint>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {

/// A message for whose type no handler exists yet.
struct unhandled_message_info {
    std::uint32_t type; ///< the number of its type on the wire
    std::size_t size;   ///< bytes
};

/// accept() fails for want of a descriptor or of memory; listen_options::under_pressure says what
/// becomes of the clients.
struct fd_pressure_info {
    cluster::address address; ///< of the server
    /// EMFILE, ENFILE, ENOBUFS or ENOMEM; `errc::descriptor_truncated` in a worker that could not
    /// take what the primary gave it, and another one gets.
    std::error_code cause;
};

/// \file
/// What on() and once() can be given. On a primary the handler's first argument is the worker that
/// the event is about; a handler may leave out what it does not need.
///
/// | event             | where           | arguments              | when                          |
/// |-------------------|-----------------|------------------------|-------------------------------|
/// | setup             | primary         | fork_options           | after each setup() and fork() |
/// | fork              | primary, worker |                        | after fork(), first of all    |
/// | online            | primary, worker |                        | its program reached its role  |
/// | listening         | primary, worker | address                | a server of it listens, or a  |
/// |                   |                 |                        | datagram socket is bound      |
/// | ready             | primary, worker |                        | it can do its work            |
/// | stalled           | primary, worker |                        | it has not answered for a     |
/// |                   |                 |                        | while and gets no connections |
/// | recovered         | primary, worker |                        | it answers again              |
/// | disconnect        | primary, worker |                        | its channel is closed         |
/// |                   | self            |                        | it begins to finish           |
/// | exit              | primary, worker | exit_status            | last event, exactly once      |
/// | error             | primary, worker | std::error_code        | not started, or broke a rule  |
/// |                   | self            | std::error_code        | a message cannot be decoded   |
/// | restart           | primary         | restart_decision       | it will be replaced           |
/// | give_up           | primary         | exit_report            | the restart policy gave up    |
/// | reload            | primary         | reload_report          | a reload has ended            |
/// | listener_repaired | primary         | address                | a worker had broken a shared  |
/// |                   |                 |                        | listening socket              |
/// | backlog_clipped   | primary         | address                | the system lets fewer         |
/// |                   |                 |                        | connections wait than asked   |
/// | fd_pressure       | primary, self   | fd_pressure_info       | accept() found no descriptor, |
/// |                   |                 |                        | at most once a second for an  |
/// |                   |                 |                        | address; in who accepts       |
/// | drain             | worker, self    |                        | send() may go on              |
/// | shutdown          | self            |                        | the cluster is about to end   |
/// | unhandled_message | worker, self    | unhandled_message_info | nobody handles this type yet  |
///
/// On a child (spawn(), exec(), fork_program()); there is no first argument but these:
///
/// | event             | arguments              | when                                             |
/// |-------------------|------------------------|--------------------------------------------------|
/// | spawn             |                        | its program runs; first of all                   |
/// | error             | std::error_code        | not started, not to be killed, or `stop` was     |
/// |                   |                        | asked; a message cannot be decoded               |
/// | online            |                        | its program has made its parent_channel          |
/// | disconnect        |                        | its channel is closed; also in the parent_channel|
/// | drain             |                        | send() may go on; also in the parent_channel     |
/// | unhandled_message | unhandled_message_info | nobody handles this type yet; also there         |
/// | exit              | exit_status            | it has ended, or was never started; once         |
/// | close             | exit_status            | that, and all its pipes are closed: last, once   |
namespace event {

inline constexpr struct setup_t {
} setup{};
inline constexpr struct fork_t {
} fork{};
inline constexpr struct online_t {
} online{};
inline constexpr struct listening_t {
} listening{};
inline constexpr struct ready_t {
} ready{};
inline constexpr struct stalled_t {
} stalled{};
inline constexpr struct recovered_t {
} recovered{};
inline constexpr struct reload_t {
} reload{};
inline constexpr struct listener_repaired_t {
} listener_repaired{};
inline constexpr struct backlog_clipped_t {
} backlog_clipped{};
inline constexpr struct fd_pressure_t {
} fd_pressure{};
inline constexpr struct disconnect_t {
} disconnect{};
inline constexpr struct exit_t {
} exit{};
inline constexpr struct spawn_t {
} spawn{};
inline constexpr struct close_t {
} close{};
inline constexpr struct error_t {
} error{};
inline constexpr struct restart_t {
} restart{};
inline constexpr struct give_up_t {
} give_up{};
inline constexpr struct drain_t {
} drain{};
inline constexpr struct shutdown_t {
} shutdown{};
inline constexpr struct unhandled_message_t {
} unhandled_message{};

} // namespace event

namespace detail {

/// Calls `f` with as many of the arguments as it takes: all, the first, all but the first, none.
template <typename F, typename First, typename... Rest>
void call_flexibly(F& f, First& first, const Rest&... rest) {
    if constexpr (std::is_invocable_v<F&, First&, const Rest&...>) {
        f(first, rest...);
    } else if constexpr (std::is_invocable_v<F&, First&>) {
        f(first);
    } else if constexpr (std::is_invocable_v<F&, const Rest&...>) {
        f(rest...);
    } else {
        static_assert(std::is_invocable_v<F&>,
                      "on: the handler fits the event with none of its arguments; see the table in "
                      "cluster/event.hpp and take the worker as `auto&`.");
        f();
    }
}

/// Calls `f` with the arguments, or with none.
template <typename F, typename... Args>
void call_with_or_without(F& f, const Args&... args) {
    if constexpr (std::is_invocable_v<F&, const Args&...>) {
        f(args...);
    } else {
        static_assert(std::is_invocable_v<F&>,
                      "on: the handler fits the event with none of its arguments; see the table in "
                      "cluster/event.hpp.");
        f();
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_EVENT_HPP
