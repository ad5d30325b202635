// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_POOL_LAUNCHER_HPP
#define CLUSTER_POOL_DETAIL_POOL_LAUNCHER_HPP

#include "../../detail/environment_block.hpp"
#include "../../detail/os.hpp"
#include "../options.hpp"

#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Starts workers of a pool: the program that runs, pinned when the pool was made.
class pool_launcher {
public:
    /// \param options outlives this
    pool_launcher(std::vector<std::string> arguments, const process_pool_options& options)
        : arguments_{std::move(arguments)},
          options_{options},
          program_{os::open_running_program()} {
        if (!program_) {
            throw std::system_error(os::last_error(), "/proc/self/exe");
        }
        if (!options.arguments.empty()) {
            arguments_.resize(1);
            arguments_.insert(arguments_.end(), options.arguments.begin(), options.arguments.end());
        }
    }

    /// The worker ends with the calling thread. It is in a process group of its own, so that the
    /// terminal's signals come to the parent alone.
    os::child_process launch(int page, int doorbell, std::error_code& error) const {
        auto environment = environment_block::for_worker(options_.environment);
        environment.set(pool_variable, "1");
        std::vector<const char*> arguments;
        for (const auto& each : arguments_) {
            arguments.push_back(each.c_str());
        }
        arguments.push_back(nullptr);
        const int descriptors[] = {
            -1, os::is_open(1) ? 1 : -1, os::is_open(2) ? 2 : -1, page, doorbell};
        std::vector<os::resource_limit> limits;
        for (const auto& each : options_.limits) {
            limits.push_back({each.which, each.soft, each.hard});
        }
        if (options_.sandbox == sandbox::compute) {
            limits.push_back(os::no_core_dump);
        }
        os::spawn_request spawn;
        spawn.executable = program_.get();
        spawn.arguments = arguments.data();
        spawn.environment = environment.get();
        spawn.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
        spawn.descriptors = descriptors;
        spawn.user = options_.user;
        spawn.group = options_.group;
        spawn.limits = limits;
        spawn.nice_value = options_.nice;
        spawn.new_process_group = true;
        spawn.no_new_privileges = options_.sandbox != sandbox::none;
        return os::spawn(spawn, error);
    }

private:
    std::vector<std::string> arguments_;
    const process_pool_options& options_;
    unique_fd program_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_POOL_LAUNCHER_HPP
