// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BASIC_CLUSTER_HPP
#define CLUSTER_BASIC_CLUSTER_HPP

#include "backend/concept.hpp"
#include "backend/process.hpp"
#include "config.hpp"
#include "detail/flush_at_exit.hpp"
#include "detail/memory.hpp"
#include "detail/role.hpp"
#include "detail/standby.hpp"
#include "event_loop.hpp"
#include "fwd.hpp"
#include "primary.hpp"
#include "restart/concept.hpp"
#include "restart/never.hpp"
#include "scheduling/concept.hpp"
#include "scheduling/round_robin.hpp"
#include "self.hpp"
#include "serialization/binary.hpp"
#include "serialization/concept.hpp"
#include "worker.hpp"

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// A program that runs as one primary and many workers that share its ports. The same main() runs
/// in all of them; the cluster knows which role this process has.
///
/// \tparam Scheduling models `scheduling_policy` (scheduling/concept.hpp): who gets a connection.
/// \tparam Serializer models `serializer` (serialization/concept.hpp): how a message becomes bytes.
/// \tparam Restart models `restart_strategy` (restart/concept.hpp): what follows a death.
/// \tparam Backend models `backend_policy` (backend/concept.hpp): what a worker is.
///
/// Make it first thing in main(), before other code opens descriptors or starts threads. A program
/// may have several clusters at a time, made in the same order in every process.
///
/// Thread safety: one thread, the one that calls run(). Fork safety: a forked child must not use
/// it.
template <typename Scheduling, typename Serializer, typename Restart, typename Backend>
class basic_cluster {
public:
    /// The policies.
    using scheduling_type = typename detail::checked_scheduling<Scheduling>::type;
    using serializer_type = typename detail::checked_serializer<Serializer>::type;
    using restart_type = typename detail::checked_restart<Restart>::type;
    using backend_type = typename detail::checked_backend<Backend>::type;

    /// The roles: what the functions that run() is given take.
    using primary_type = basic_primary<basic_cluster>;
    using worker_type = basic_worker<basic_cluster>;
    using self_type = basic_self<basic_cluster>;

    /// Finds out this process's role. Workers get the same arguments unless setup() says otherwise.
    /// Blocks in a process that is a spare (supervision_options), until it is a worker.
    /// \throws std::system_error in a process that was started as a worker but has no channel:
    /// better no worker than a second primary.
    basic_cluster(int argc, const char* const* argv)
        : arguments_{detail::argument_list(argc, argv)},
          owned_loop_{std::make_unique<event_loop>()},
          loop_{*owned_loop_} {
        role_ = detail::claim_role(number_.value(), channel_);
    }
    /// The same in a loop that the program runs itself, and that outlives the cluster.
    basic_cluster(int argc, const char* const* argv, event_loop& loop)
        : arguments_{detail::argument_list(argc, argv)}, loop_{loop} {
        role_ = detail::claim_role(number_.value(), channel_);
    }
    basic_cluster(basic_cluster&&) = delete;
    basic_cluster& operator=(basic_cluster&&) = delete;

    /// Of this process: threads that are workers share their primary's.
    /// Neither holds in a worker of another cluster of this program; run() returns at once there.
    [[nodiscard]] bool is_primary() const noexcept { return role_ == detail::role::primary; }
    [[nodiscard]] bool is_worker() const noexcept { return role_ == detail::role::worker; }

    /// Runs the program: `primary_main(primary&)` or `worker_main(self&)` once, then the loop until
    /// nothing is left to do. Blocks. What a handler throws leaves from here; run() goes on then.
    /// \returns the code for main() to return.
    template <typename PrimaryMain, typename WorkerMain>
    int run(PrimaryMain&& primary_main, WorkerMain&& worker_main) {
        static_assert(std::is_invocable_v<PrimaryMain&, primary_type&>,
                      "run: the first function is the primary's; let it take `auto& primary`.");
        static_assert(std::is_invocable_v<WorkerMain&, self_type&>,
                      "run: the second function is the worker's; let it take `auto& self`.");
        if (is_primary()) {
            if constexpr (!detail::starts_at_main<backend_type>()) {
                keep_entry(worker_main);
            }
            if constexpr (std::is_invocable_v<PrimaryMain&, primary_type&>) {
                primary_main(primary());
            }
        } else if (is_worker()) {
            if constexpr (std::is_invocable_v<WorkerMain&, self_type&> &&
                          detail::starts_at_main<backend_type>()) {
                worker_main(self());
            }
        }
        return run();
    }

    /// Runs the loop of the role that primary() or self() has set up. Blocks.
    /// \returns the code for main() to return.
    int run() {
        if (self_) {
            return run(loop_, *self_);
        }
        return primary_ ? loop_.run() : 0;
    }

    /// This process as the primary. \pre is_primary()
    [[nodiscard]] primary_type& primary() {
        CLUSTER_ASSERT(is_primary(), "primary() in a worker");
        if (!primary_) {
            primary_ = std::make_unique<primary_type>(loop_, arguments_, number_.value());
        }
        return *primary_;
    }
    /// This process as a worker. \pre is_worker()
    /// \throws std::system_error when the primary is of another version
    [[nodiscard]] self_type& self() {
        static_assert(detail::starts_at_main<backend_type>(),
                      "self(): workers of this backend do not start at main(); give run() both "
                      "functions: app.run(primary_main, worker_main).");
        CLUSTER_ASSERT(is_worker(), "self() in a primary");
        if (!self_) {
            self_ = std::make_unique<self_type>(loop_, std::move(channel_));
        }
        return *self_;
    }

    /// The loop in which the role of this process runs.
    [[nodiscard]] event_loop& loop() noexcept { return loop_; }
    /// For another loop: readable whenever poll() has something to do (event_loop::native_handle).
    [[nodiscard]] int native_handle() { return loop_.native_handle(); }
    /// Runs what is ready; \returns whether anything is left to wait for.
    bool poll() { return loop_.poll(); }

private:
    // A copy of the function for each worker, so that none of them changes another's.
    template <typename WorkerMain>
    void keep_entry(const WorkerMain& worker_main) {
        static_assert(std::is_copy_constructible_v<WorkerMain>,
                      "run: a worker's function must be copyable with this backend; capture a "
                      "std::shared_ptr instead of what cannot be copied.");
        if constexpr (std::is_invocable_v<WorkerMain&, self_type&> &&
                      std::is_copy_constructible_v<WorkerMain>) {
            struct entry final : detail::worker_entry {
                entry(basic_cluster& of, const WorkerMain& f) : app{of}, main{f} {}
                [[nodiscard]] inline int run(unique_fd channel,
                                             detail::worker_surroundings where) const override {
                    auto own = main;
                    return app.run_worker(own, std::move(channel), std::move(where));
                }
                inline void prepare() const override {
                    app.role_ = detail::role::worker;
                    detail::flush_at_exit::prepare();
                }
                basic_cluster& app;
                WorkerMain main;
            };
            auto& place = primary().entry_; // may throw
            const detail::worker_entry* made = new entry{*this, worker_main};
            place.reset(made); // by its base: else a control block for each function
        }
    }

    template <typename WorkerMain>
    int run_worker(WorkerMain& main, unique_fd channel, detail::worker_surroundings where) {
        if (where.own_process) {
            channel = detail::await_role(std::move(channel));
        }
        event_loop loop;
        self_type self{loop, std::move(channel), std::move(where)};
        main(self);
        return run(loop, self);
    }

    static int run(event_loop& loop, self_type& self) {
        struct flush { // also when a handler throws: what was sent is sent
            self_type& self;
            ~flush() { self.flush(); }
        } guard{self};
        return loop.run();
    }

    std::vector<std::string> arguments_;
    std::unique_ptr<event_loop> owned_loop_;
    event_loop& loop_;
    detail::cluster_number number_;
    detail::role role_ = detail::role::none;
    unique_fd channel_;
    std::unique_ptr<primary_type> primary_;
    std::unique_ptr<self_type> self_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_BASIC_CLUSTER_HPP
