// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BACKEND_PROCESS_HPP
#define CLUSTER_BACKEND_PROCESS_HPP

#include "../detail/os.hpp"
#include "../error.hpp"
#include "../fork_options.hpp"
#include "concept.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The variable that tells a program that it is a worker, and of which of its clusters. It is taken
/// out of the environment before the program's own code runs, and means nothing without the
/// channel.
inline constexpr std::string_view role_variable = "CLUSTER_WORKER";
inline constexpr int channel_descriptor = 3;
/// The same for the worker of a pool, with the pool's page instead of a channel.
inline constexpr std::string_view pool_variable = "CLUSTER_POOL_WORKER";

/// The environment of a worker as execve(2) takes it. Owns the text.
class environment_block {
public:
    environment_block(const std::vector<environment_variable>& changes, unsigned cluster)
        : environment_block{changes, role_variable, std::to_string(cluster)} {}
    environment_block(const std::vector<environment_variable>& changes,
                      std::string_view role,
                      const std::string& value) {
        for (char** each = os::environment(); each != nullptr && *each != nullptr; ++each) {
            std::string_view entry{*each};
            auto name = entry.substr(0, entry.find('='));
            if (name != role_variable && name != pool_variable) {
                set(name, std::string{entry});
            }
        }
        for (const auto& each : changes) {
            if (each.value) {
                set(each.name, each.name + '=' + *each.value);
            } else {
                remove(each.name);
            }
        }
        set(role, std::string{role} + '=' + value);
        for (const auto& each : entries_) {
            pointers_.push_back(each.c_str());
        }
        pointers_.push_back(nullptr);
    }
    environment_block(environment_block&&) = delete;

    [[nodiscard]] const char* const* get() const noexcept { return pointers_.data(); }

private:
    static bool names(const std::string& entry, std::string_view name) noexcept {
        return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
    }
    void remove(std::string_view name) {
        std::erase_if(entries_, [name](const auto& each) { return names(each, name); });
    }
    void set(std::string_view name, std::string entry) {
        for (auto& each : entries_) {
            if (names(each, name)) {
                each = std::move(entry);
                return;
            }
        }
        entries_.push_back(std::move(entry));
    }

    std::vector<std::string> entries_;
    std::vector<const char*> pointers_;
};

/// The descriptors that a child gets: 0 to 2, the channel, extra ones.
class descriptor_table {
public:
    /// Opens the pipes that the options ask for.
    descriptor_table(const fork_options& options, int channel, std::error_code& error) {
        bool silent = options.silent.value_or(false);
        auto output = silent ? stdio::pipe : stdio::inherit;
        place(0, options.standard_input.value_or(stdio::inherit), error);
        place(1, options.standard_output.value_or(output), error);
        place(2, options.standard_error.value_or(output), error);
        numbers_.push_back(channel);
        pipes.emplace_back();
        for (std::size_t i = 0; i != options.extra.size(); ++i) {
            place(static_cast<int>(i) + 4, options.extra[i], error);
        }
    }

    [[nodiscard]] const std::vector<int>& numbers() const noexcept { return numbers_; }

    std::vector<unique_fd> pipes; // the parent's ends, by the child's numbers

private:
    void place(int number, stdio what, std::error_code& error) {
        unique_fd ours;
        int theirs = -1;
        if (what.is_descriptor()) {
            theirs = what.descriptor();
            if (!os::is_open(theirs)) {
                error = std::make_error_code(std::errc::bad_file_descriptor);
            }
        } else if (what == stdio::inherit) {
            theirs = os::is_open(number) && number <= 2 ? number : -1;
        } else if (what == stdio::pipe) {
            unique_fd child_end;
            if (auto failed = os::make_channel(ours, child_end)) {
                error = failed;
            }
            os::set_nonblocking(child_end.get(), false); // programs expect their output to block
            theirs = child_end.get();
            child_ends_.push_back(std::move(child_end));
        }
        numbers_.push_back(theirs);
        pipes.push_back(std::move(ours));
    }

    std::vector<int> numbers_;
    std::vector<unique_fd> child_ends_;
};

} // namespace detail

namespace backend {

/// A `backend_policy`: a worker is a process of its own that executes a program anew, by default
/// the one that runs. The cost of a start does not depend on the primary's memory. A worker is
/// killed when the thread that started it ends (PR_SET_PDEATHSIG), so the thread that calls fork()
/// is the one that calls run().
struct process {
    static constexpr bool separate_memory = true;

    static detail::launched_worker launch(const detail::launch_request& request,
                                          std::error_code& error) {
        const auto& options = request.options;
        detail::environment_block environment{options.environment, request.cluster};
        auto path = detail::os::absolute_path(options.executable);
        auto arguments = argument_pointers(request);
        detail::descriptor_table table{options, request.channel, error};
        if (error) {
            return {};
        }
        std::vector<detail::os::resource_limit> limits;
        for (const auto& each : options.limits) {
            limits.push_back({each.which, each.soft, each.hard});
        }
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
        result.child = detail::os::spawn(spawn, error);
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

static_assert(backend_policy<process>);

} // namespace backend
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BACKEND_PROCESS_HPP
