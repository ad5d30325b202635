// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ENVIRONMENT_BLOCK_HPP
#define CLUSTER_DETAIL_ENVIRONMENT_BLOCK_HPP

#include "../fork_options.hpp"
#include "algorithm.hpp"
#include "os.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The variable that tells a program that it is a worker, and of which of its clusters. It is taken
/// out of the environment before the program's own code runs, and means nothing without the
/// channel.
inline constexpr std::string_view role_variable = "CLUSTER_WORKER";
/// The one that tells a program which descriptor leads to the parent that talks to it
/// (fork_program()).
inline constexpr std::string_view parent_variable = "CLUSTER_PARENT";

/// The one that tells a program that it is the worker of a pool, with the pool's page instead of a
/// channel.
inline constexpr std::string_view pool_variable = "CLUSTER_POOL_WORKER";

/// What a service manager tells the process that it has started (sd_notify(3),
/// sd_watchdog_enabled(3)). A worker that answered would be taken for that process.
inline constexpr std::array<const char*, 3> service_variables{
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};

/// The environment of a child as execve(2) takes it. Owns the text. What tells this process its own
/// role is nothing for its children.
class environment_block {
public:
    /// `inherit`: the changes are on top of this process's own variables.
    explicit environment_block(const std::vector<environment_variable>& changes,
                               bool inherit = true) {
        for (char** each = inherit ? os::environment() : nullptr; each && *each; ++each) {
            std::string_view entry{*each};
            auto name = entry.substr(0, entry.find('='));
            if (name != role_variable && name != parent_variable && name != pool_variable) {
                put(name, std::string{entry});
            }
        }
        change(changes);
    }

    /// That of a worker: without the service variables, unless the changes bring them back.
    static environment_block for_worker(const std::vector<environment_variable>& changes) {
        environment_block block{{}};
        for (const char* name : service_variables) {
            block.remove(name);
        }
        block.change(changes);
        return block;
    }

    void set(std::string_view name, std::string_view value) {
        std::string entry{name};
        entry.append(1, '=').append(value);
        put(name, std::move(entry));
    }

    [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept {
        for (const auto& each : entries_) {
            if (names(each, name)) {
                return std::string_view{each}.substr(name.size() + 1);
            }
        }
        return std::nullopt;
    }

    /// Null-terminated; good until the next change.
    [[nodiscard]] const char* const* get() const {
        pointers_.clear();
        for (const auto& each : entries_) {
            pointers_.push_back(each.c_str());
        }
        pointers_.push_back(nullptr);
        return pointers_.data();
    }

private:
    void change(const std::vector<environment_variable>& changes) {
        for (const auto& each : changes) {
            if (each.value) {
                set(each.name, *each.value);
            } else {
                remove(each.name);
            }
        }
    }
    static bool names(const std::string& entry, std::string_view name) noexcept {
        return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
    }
    void remove(std::string_view name) {
        detail::erase_if(entries_, [name](const auto& each) { return names(each, name); });
    }
    void put(std::string_view name, std::string entry) {
        for (auto& each : entries_) {
            if (names(each, name)) {
                each = std::move(entry);
                return;
            }
        }
        entries_.push_back(std::move(entry));
    }

    std::vector<std::string> entries_;
    mutable std::vector<const char*> pointers_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ENVIRONMENT_BLOCK_HPP
