// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_CONCEPT_HPP
#define CLUSTER_BACKEND_CONCEPT_HPP

/// \file
/// The backend policy: what a worker is.
///
/// `B` is the policy, `b` an lvalue of it, `r` a `detail::launch_request`, `e` a `std::error_code`.
///
/// | expression           | type                      | meaning                              |
/// |----------------------|---------------------------|--------------------------------------|
/// | `B::separate_memory` | `bool`                    | a worker's crash leaves others alone |
/// | `b.launch(r, e)`     | `detail::launched_worker` | starts one worker; failures of the   |
/// |                      |                           | system go to `e`                     |
/// | `B::starts_at_main`  | `bool`, optional: true    | a worker runs a program from its     |
/// |                      |                           | main() on, not the function that     |
/// |                      |                           | run() was given                      |
/// | `B::passes_objects`  | `bool`, optional: false   | messages are moved, not encoded;     |
/// |                      |                           | only where memory is not separate    |
/// | `B::transport_type`  | a `transport_policy`,     | what carries messages to workers     |
/// |                      | optional: the socket      | that are processes                   |
///
/// Models shipped: `process`, `fork`, `thread`, `serializing_thread`.

#include "../detail/memory.hpp"
#include "../detail/move_only_function.hpp"
#include "../detail/running_worker.hpp"
#include "../fork_options.hpp"
#include "../ipc/carrier.hpp"
#include "../stop_token.hpp"
#include "../transport/concept.hpp"
#include "../transport/socket.hpp"
#include "../unique_fd.hpp"

#include <concepts>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a worker knows of where it runs, before its primary tells it anything.
struct worker_surroundings {
    bool own_process = true;
    std::unique_ptr<carrier> link{}; // of a thread, instead of the channel
    join_function join = nullptr;    // where the backend has another transport than the socket
    worker_data data{};              // of a thread; a process gets it by the channel
    stop_source stop{};
    move_only_function<void(unique_fd)> refork{}; // becomes, in a copy, what starts others
};

/// The worker's part of a program, for backends that do not start at main(): takes its end of the
/// channel and runs until the worker has ended. Several threads may run it at once.
class worker_entry {
public:
    worker_entry() = default;
    worker_entry(worker_entry&&) = delete;
    worker_entry& operator=(worker_entry&&) = delete;
    virtual ~worker_entry() = default;

    /// In a process that workers are copies of: does once what each would do.
    virtual void prepare() const = 0;
    /// \returns the worker's exit code
    [[nodiscard]] virtual int run(unique_fd channel, worker_surroundings where) const = 0;
};

/// Everything that a backend needs to start a worker.
struct launch_request {
    const fork_options& options;                 // merged with the settings
    const std::vector<std::string>& arguments;   // of the primary, with the program's name
    int program;                                 // descriptor of the running program, -1 unknown
    int channel;                                 // the worker's end; borrowed
    unsigned cluster;                            // which cluster of the program the worker is for
    std::unique_ptr<carrier>* link = nullptr;    // of a thread, instead of the channel: its to take
    std::shared_ptr<const worker_entry> entry{}; // null before run() with the worker's function

    /// Other ones than the primary's.
    [[nodiscard]] bool has_own_arguments() const {
        return !options.arguments.empty() &&
               options.arguments != std::vector(arguments.begin() + 1, arguments.end());
    }
};

/// A worker that has started, and the primary's ends of its piped descriptors by their number.
struct launched_worker {
    std::unique_ptr<running_worker> child;
    std::vector<unique_fd> pipes;
};

template <typename B>
concept says_what_is_shared = requires {
    { B::separate_memory } -> std::convertible_to<bool>;
};

template <typename B>
concept can_launch = requires(B& b, const launch_request& r, std::error_code& e) {
    { b.launch(r, e) } -> std::same_as<launched_worker>;
};

template <typename B>
consteval bool starts_at_main() {
    if constexpr (requires { B::starts_at_main; }) {
        return B::starts_at_main;
    } else {
        return true;
    }
}

template <typename B>
consteval bool passes_objects() {
    if constexpr (requires { B::passes_objects; }) {
        return B::passes_objects && !B::separate_memory;
    } else {
        return false;
    }
}

template <typename B>
struct transport_of {
    using type = transport::socket;
};
template <typename B>
    requires transport_policy<typename B::transport_type>
struct transport_of<B> {
    using type = typename B::transport_type;
};

template <typename B>
inline constexpr bool has_transport = !requires { typename B::transport_type; } || requires {
    requires transport_policy<typename B::transport_type>;
};

/// How the backend's workers join what their primary has opened.
template <typename B>
consteval join_function join_of() {
    using type = typename transport_of<B>::type;
    return std::is_same_v<type, transport::socket> ? nullptr : &type::join;
}

} // namespace detail

/// Satisfied by every type that meets the table at the top of this file.
template <typename B>
concept backend_policy =
    std::default_initializable<B> && detail::says_what_is_shared<B> && detail::can_launch<B>;

namespace detail {

struct any_backend {
    static constexpr bool separate_memory = true;
    static launched_worker launch(const launch_request&, std::error_code&) { return {}; }
};

template <typename B>
struct checked_backend {
    static_assert(says_what_is_shared<B>,
                  "Backend needs `static constexpr bool separate_memory`; take "
                  "cluster::backend::process if you did not mean to write one.");
    static_assert(can_launch<B>,
                  "Backend needs a member `launched_worker launch(const launch_request&, "
                  "std::error_code&)`.");
    static_assert(std::default_initializable<B>, "Backend must be default constructible.");
    static_assert(has_transport<B>,
                  "Backend: its transport must have the functions open() and join(); take "
                  "cluster::transport::socket or cluster::transport::shared_memory.");
    using type = std::conditional_t<backend_policy<B>, B, any_backend>;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_CONCEPT_HPP
