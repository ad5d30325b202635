// SPDX-License-Identifier: MIT
#ifndef CLUSTER_FORK_OPTIONS_HPP
#define CLUSTER_FORK_OPTIONS_HPP

#include "detail/chrono.hpp"
#include "unique_fd.hpp"
#include "worker_data.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// What a child gets as one of its descriptors: the parent's (`inherit`), /dev/null (`ignore`), the
/// other end of a stream that the parent reads and writes (`pipe`, a pair of sockets, both ways), a
/// descriptor of the parent's (`stdio::descriptor(n)`, borrowed until the child has started), or a
/// file, whose path is the parent's.
class stdio {
public:
    /// The parent's own.
    static const stdio inherit;
    /// /dev/null.
    static const stdio ignore;
    /// The other end of a stream of the parent's.
    static const stdio pipe;
    /// A descriptor of the parent's, borrowed until the child has started.
    static stdio descriptor(int number) noexcept { return stdio{number}; }
    /// A file, opened to be read.
    static stdio read_from(std::string path) { return {read, std::move(path)}; }
    /// Made if it is not there (0666 and the umask), emptied if it is.
    static stdio write_to(std::string path) { return {write, std::move(path)}; }
    /// Made if it is not there; what the child writes goes behind what the file has.
    static stdio append_to(std::string path) { return {append, std::move(path)}; }

    [[nodiscard]] bool is_descriptor() const noexcept { return value_ >= 0; }
    /// The number. \pre is_descriptor()
    [[nodiscard]] int descriptor() const noexcept { return value_; }
    [[nodiscard]] bool is_file() const noexcept { return value_ <= read; }
    /// Of a file. \pre is_file()
    [[nodiscard]] const std::string& path() const noexcept { return *path_; }
    /// Of a file.
    [[nodiscard]] bool reads() const noexcept { return value_ == read; }
    [[nodiscard]] bool appends() const noexcept { return value_ == append; }
    friend bool operator==(const stdio&, const stdio&) noexcept = default;

private:
    static constexpr int read = -4, write = -5, append = -6;
    explicit constexpr stdio(int value) noexcept : value_{value} {}
    stdio(int value, std::string path) noexcept : value_{value}, path_{std::move(path)} {}

    int value_;
    std::optional<std::string> path_; // text of its own would be no constant
};
inline const constinit stdio stdio::inherit{-1};
inline const constinit stdio stdio::ignore{-2};
inline const constinit stdio stdio::pipe{-3};

/// One variable for a child, on top of those of its parent; without a value it is removed.
struct environment_variable {
    std::string name;
    std::optional<std::string> value;

    friend bool operator==(const environment_variable&, const environment_variable&) = default;
};

/// A limit of the system on a child (setrlimit(2)), such as {RLIMIT_NOFILE, 4096, 4096}.
struct resource_limits {
    /// RLIMIT_NOFILE and the like.
    int which;
    std::uint64_t soft;
    std::uint64_t hard;

    friend bool operator==(const resource_limits&, const resource_limits&) = default;
};

/// When a worker is replaced as planned: a fresh one starts, and when it is ready the old one
/// drains. Zero: no limit.
struct recycle_limits {
    /// Connections, or what the program counts with self.count_request().
    std::uint64_t max_requests = 0;
    /// Since it was started.
    std::chrono::nanoseconds max_lifetime{0};
    /// Resident bytes.
    std::uint64_t max_memory = 0;
    /// Each worker's limits are smaller by a random part of up to this, so that they do not all
    /// come at once. 0 to 1.
    double jitter = 0.25;
    /// How long the old one may drain; then it gets SIGTERM, a second later SIGKILL.
    std::chrono::nanoseconds drain_deadline = std::chrono::seconds{30};
};

/// How a worker is started. What is left at its default is taken from the settings (setup()).
struct fork_options {
    /// The program; empty: the one that runs now, pinned at start, so that a file that is replaced
    /// on disk does not mix versions. A relative path is the primary's; PATH is not searched.
    std::string executable{};
    /// The arguments behind the program's name; empty: those of the primary.
    std::vector<std::string> arguments{};
    /// On top of the settings' and the primary's own environment, of which a worker does not get
    /// what a service manager told the primary (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID).
    std::vector<environment_variable> environment{};
    /// The working directory; empty: the primary's.
    std::string directory{};
    /// Shown by worker::name() and self::name(), for programs with several kinds of workers.
    std::string name{};
    /// Standard output and error become pipes: worker::standard_output(), standard_error().
    std::optional<bool> silent{};
    /// What it has as its descriptors 0 to 2.
    std::optional<stdio> standard_input{};
    std::optional<stdio> standard_output{};
    std::optional<stdio> standard_error{};
    /// Descriptors 4, 5, … of the worker; 3 is the channel.
    std::vector<stdio> extra{};
    /// Numbers of a user and a group to become; checked, and for good.
    std::optional<unsigned> user{};
    std::optional<unsigned> group{};
    std::vector<resource_limits> limits{};
    /// Niceness, -20 to 19.
    std::optional<int> nice{};
    std::optional<unsigned> umask{};
    /// The numbers of the CPUs to run on; empty: all of the primary's.
    std::vector<int> cpus{};
    std::optional<bool> no_new_privileges{};
    /// A session of its own: the worker does not get the terminal's signals.
    std::optional<bool> detached{};
    /// When it is replaced as planned.
    std::optional<recycle_limits> recycle{};
    /// Its share of the connections, relative to the others' (scheduling::weighted_round_robin, and
    /// policies of one's own: candidate::weight()). 1 by default; 0: none while others can.
    std::optional<unsigned> weight{};
    /// When the primary dies: the worker is not killed, but finishes what it has begun, for this
    /// long at most (event::disconnect). For workers that cannot hang.
    std::optional<std::chrono::nanoseconds> outlive_primary{};
    /// What the worker starts with: self.data<T>().
    worker_data data{};
};

namespace detail {

/// `options` on top of `settings`.
inline fork_options merge(fork_options settings, const fork_options& options) {
    auto pick = [](auto& into, const auto& from, bool given) {
        if (given) {
            into = from;
        }
    };
    pick(settings.executable, options.executable, !options.executable.empty());
    pick(settings.arguments, options.arguments, !options.arguments.empty());
    for (const auto& each : options.environment) {
        settings.environment.push_back(each);
    }
    pick(settings.directory, options.directory, !options.directory.empty());
    pick(settings.name, options.name, !options.name.empty());
    pick(settings.silent, options.silent, options.silent.has_value());
    pick(settings.standard_input, options.standard_input, options.standard_input.has_value());
    pick(settings.standard_output, options.standard_output, options.standard_output.has_value());
    pick(settings.standard_error, options.standard_error, options.standard_error.has_value());
    pick(settings.extra, options.extra, !options.extra.empty());
    pick(settings.user, options.user, options.user.has_value());
    pick(settings.group, options.group, options.group.has_value());
    pick(settings.limits, options.limits, !options.limits.empty());
    pick(settings.nice, options.nice, options.nice.has_value());
    pick(settings.umask, options.umask, options.umask.has_value());
    pick(settings.cpus, options.cpus, !options.cpus.empty());
    pick(settings.no_new_privileges,
         options.no_new_privileges,
         options.no_new_privileges.has_value());
    pick(settings.detached, options.detached, options.detached.has_value());
    pick(settings.outlive_primary, options.outlive_primary, options.outlive_primary.has_value());
    pick(settings.recycle, options.recycle, options.recycle.has_value());
    pick(settings.data, options.data, static_cast<bool>(options.data));
    pick(settings.weight, options.weight, options.weight.has_value());
    return settings;
}

/// Whether processes for these options are started in the same way; what a worker is told later, its
/// name and its data among it, may differ.
inline bool starts_alike(const fork_options& a, const fork_options& b) {
    return a.executable == b.executable && a.arguments == b.arguments &&
           a.environment == b.environment && a.directory == b.directory && a.silent == b.silent &&
           a.standard_input == b.standard_input && a.standard_output == b.standard_output &&
           a.standard_error == b.standard_error && a.extra == b.extra && a.user == b.user &&
           a.group == b.group && a.limits == b.limits && a.nice == b.nice && a.umask == b.umask &&
           a.cpus == b.cpus && a.no_new_privileges == b.no_new_privileges &&
           a.detached == b.detached && a.outlive_primary == b.outlive_primary;
}

/// Whether a process may be started for these options long before it is a worker: it is of the
/// program that waits when it is told to, and empties no file that the worker before it writes.
inline bool may_start_early(const fork_options& options) {
    auto empties = [](const stdio& each) {
        return each.is_file() && !each.reads() && !each.appends();
    };
    bool harmless = options.executable.empty();
    for (const auto* each :
         {&options.standard_input, &options.standard_output, &options.standard_error}) {
        harmless = harmless && !(*each && empties(**each));
    }
    for (const auto& each : options.extra) {
        harmless = harmless && !empties(each);
    }
    return harmless;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_FORK_OPTIONS_HPP
