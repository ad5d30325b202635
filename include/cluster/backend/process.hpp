// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_PROCESS_HPP
#define CLUSTER_BACKEND_PROCESS_HPP

#include "../detail/descriptor_table.hpp"
#include "../detail/environment_block.hpp"
#include "../detail/memory.hpp"
#include "../detail/os.hpp"
#include "../error.hpp"
#include "../fork_options.hpp"
#include "concept.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

inline constexpr int channel_descriptor = 3;

/// The descriptors that a worker gets: 0 to 2, the channel, extra ones. Opens the pipes and files
/// that the options ask for.
inline descriptor_table
worker_descriptors(const fork_options& options, int channel, std::error_code& error) {
    descriptor_table table;
    auto output = options.silent.value_or(false) ? stdio::pipe : stdio::inherit;
    table.add(options.standard_input.value_or(stdio::inherit), error);
    table.add(options.standard_output.value_or(output), error);
    table.add(options.standard_error.value_or(output), error);
    table.add_borrowed(channel);
    for (const auto& each : options.extra) {
        table.add(each == stdio::inherit ? stdio::ignore : each, error);
    }
    return table;
}

/// The primary's environment, but for what its service manager told it, with the options' changes
/// and the mark of a worker.
inline environment_block worker_environment(const fork_options& options, unsigned cluster) {
    auto block = environment_block::for_worker(options.environment);
    block.set(role_variable, std::to_string(cluster));
    return block;
}

inline std::vector<os::resource_limit> native_limits(const std::vector<resource_limits>& limits) {
    std::vector<os::resource_limit> result;
    for (const auto& each : limits) {
        result.push_back({each.which, each.soft, each.hard});
    }
    return result;
}

} // namespace detail

namespace backend {

/// A `backend_policy`: a worker is a process of its own that executes a program anew, by default
/// the one that runs. The cost of a start does not depend on the primary's memory. A worker is
/// killed when the thread that started it ends (PR_SET_PDEATHSIG), so the thread that calls fork()
/// is the one that calls run().
///
/// \tparam Transport models `transport_policy` (transport/concept.hpp): what carries the messages.
template <typename Transport>
struct basic_process {
    using transport_type = Transport;
    /// Itself, for who derives from it.
    using process = basic_process;
    static constexpr bool separate_memory = true;

    static detail::launched_worker launch(const detail::launch_request& request,
                                          std::error_code& error) {
        const auto& options = request.options;
        auto environment = detail::worker_environment(options, request.cluster);
        auto path = detail::os::absolute_path(options.executable);
        auto arguments = argument_pointers(request);
        auto table = detail::worker_descriptors(options, request.channel, error);
        if (error) {
            return {};
        }
        auto limits = detail::native_limits(options.limits);
        detail::os::spawn_request spawn;
        spawn.path = path.empty() ? request.arguments.front().c_str() : path.c_str();
        spawn.executable = path.empty() ? request.program : -1;
        spawn.arguments = arguments.data();
        spawn.environment = environment.get();
        spawn.directory = options.directory.empty() ? nullptr : options.directory.c_str();
        spawn.descriptors = table.numbers();
        spawn.user = options.user;
        spawn.group = options.group;
        spawn.limits = limits;
        spawn.nice_value = options.nice;
        spawn.umask_value = options.umask;
        spawn.affinity = options.cpus;
        spawn.new_session = options.detached.value_or(false);
        spawn.no_new_privileges = options.no_new_privileges.value_or(false);
        if (options.outlive_primary) {
            spawn.parent_death_signal = 0;
        }
        detail::launched_worker result;
        auto child = detail::os::spawn(spawn, error);
        if (!error) {
            result.child = std::make_unique<detail::worker_process>(std::move(child));
        }
        // The interpreter does not find what it shall read behind a descriptor that is closed.
        if (error == std::errc::no_such_file_or_directory && spawn.executable != -1 &&
            detail::os::is_script(spawn.executable)) {
            error = errc::program_is_script;
        }
        result.pipes = std::move(table.pipes);
        return result;
    }

private:
    static std::vector<const char*> argument_pointers(const detail::launch_request& request) {
        const auto& options = request.options;
        const auto& program =
            options.executable.empty() ? request.arguments.front() : options.executable;
        std::vector<const char*> result{program.c_str()};
        if (!options.arguments.empty()) {
            for (const auto& each : options.arguments) {
                result.push_back(each.c_str());
            }
        } else {
            for (std::size_t i = 1; i < request.arguments.size(); ++i) {
                result.push_back(request.arguments[i].c_str());
            }
        }
        result.push_back(nullptr);
        return result;
    }
};

using process = basic_process<transport::socket>;

static_assert(backend_policy<process>);

} // namespace backend
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_PROCESS_HPP
