// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_DETAIL_LAUNCH_HPP
#define CLUSTER_CHILD_DETAIL_LAUNCH_HPP

#include "../../backend/process.hpp"
#include "../../detail/descriptor_table.hpp"
#include "../../detail/environment_block.hpp"
#include "../../detail/os.hpp"
#include "../../unique_fd.hpp"
#include "../spawn_options.hpp"

#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Where the program may be, in the order in which execvp(3) looks.
inline std::vector<std::string> candidate_paths(const std::string& file,
                                                const environment_block& environment) {
    if (file.empty() || file.find('/') != std::string::npos) {
        return {file};
    }
    std::vector<std::string> result;
    auto places = environment.find("PATH").value_or("/bin:/usr/bin");
    for (;;) {
        auto end = places.find(':');
        auto place = places.substr(0, end);
        result.push_back((place.empty() ? "." : std::string{place}) + '/' + file);
        if (end == std::string_view::npos) {
            return result;
        }
        places.remove_prefix(end + 1);
    }
}

/// Whether the system would cut one of the texts short, at a zero in it.
inline bool has_zero_inside(const spawn_options& options) {
    auto cut = [](std::string_view text) { return text.find('\0') != std::string_view::npos; };
    bool found = cut(options.file) || cut(options.argument_zero) || cut(options.directory);
    for (const auto& each : options.arguments) {
        found = found || cut(each);
    }
    for (const auto& each : options.environment) {
        found = found || cut(each.name) || cut(each.value.value_or(""));
    }
    return found;
}

inline bool is_valid(const spawn_options& options) {
    for (const auto& each : options.environment) {
        if (each.name.empty() || each.name.find('=') != std::string::npos) {
            return false;
        }
    }
    return !has_zero_inside(options) && options.kill_signal >= 1 &&
           options.kill_signal <= os::signal_hub::max_signal;
}

/// The texts that the child's program starts with, and the pointers that the system wants.
class argument_block {
public:
    explicit argument_block(const spawn_options& options, const environment_block& environment)
        : paths_{candidate_paths(options.file, environment)} {
        const auto& own_name = options.argument_zero.empty() ? options.file : options.argument_zero;
        arguments_.push_back(own_name.c_str());
        shell_arguments_ = {"/bin/sh", ""};
        for (const auto& each : options.arguments) {
            arguments_.push_back(each.c_str());
            shell_arguments_.push_back(each.c_str());
        }
        arguments_.push_back(nullptr);
        shell_arguments_.push_back(nullptr);
        for (const auto& each : paths_) {
            further_.push_back(each.c_str());
        }
        further_.push_back(nullptr);
    }
    argument_block(argument_block&&) = delete;

    void put_into(os::spawn_request& request) noexcept {
        request.path = further_.front();
        request.further_paths = further_.data() + 1;
        request.arguments = arguments_.data();
        request.shell_arguments = shell_arguments_.data();
    }

private:
    std::vector<std::string> paths_;
    std::vector<const char*> arguments_;
    std::vector<const char*> shell_arguments_;
    std::vector<const char*> further_;
};

inline void put_surroundings(const spawn_options& options, os::spawn_request& request) {
    request.directory = options.directory.empty() ? nullptr : options.directory.c_str();
    request.user = options.user;
    request.group = options.group;
    request.nice_value = options.nice;
    request.umask_value = options.umask;
    request.affinity = options.cpus;
    request.new_session = options.detached;
    request.new_process_group = options.kill_tree;
    request.no_new_privileges = options.no_new_privileges;
    if (options.detached) {
        request.parent_death_signal = 0;
    }
}

/// A child that has started, and the parent's ends of its piped descriptors by their number.
struct launched_child {
    os::child_process child;
    std::vector<unique_fd> pipes;
};

/// Starts the program. `channel`: the child's end of one, which becomes its descriptor 3; -1: none.
inline launched_child launch_child(spawn_options options, int channel, std::error_code& error) {
    if (!is_valid(options)) {
        error = std::make_error_code(std::errc::invalid_argument);
        return {};
    }
    unique_fd running;
    if (channel != -1 && options.file.empty()) {
        running = os::open_running_program();
        options.file = os::running_program_path({});
    }
    environment_block environment{options.environment, !options.clear_environment};
    if (channel != -1) {
        environment.set(parent_variable, std::to_string(channel_descriptor));
    }
    argument_block arguments{options, environment};
    descriptor_table table;
    table.add(options.standard_input.value_or(stdio::inherit), error);
    table.add(options.standard_output.value_or(stdio::inherit), error);
    table.add(options.standard_error.value_or(stdio::inherit), error);
    if (channel != -1) {
        table.add_borrowed(channel);
    }
    for (const auto& each : options.extra) {
        table.add(each, error);
    }
    if (error) {
        return {};
    }
    auto limits = native_limits(options.limits);
    os::spawn_request request;
    arguments.put_into(request);
    request.executable = running.get();
    request.environment = environment.get();
    request.descriptors = table.numbers();
    request.limits = limits;
    put_surroundings(options, request);
    launched_child result;
    result.child = os::spawn(request, error);
    result.pipes = std::move(table.pipes);
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_DETAIL_LAUNCH_HPP
