// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_CPU_HPP
#define CLUSTER_DETAIL_OS_LINUX_CPU_HPP

#include "../../../unique_fd.hpp"
#include "../../number.hpp"
#include "fd.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// Cuts the text up to `end` off the front of `rest`. \returns it, without `end`
constexpr std::string_view cut(std::string_view& rest, char end) noexcept {
    const std::size_t at = rest.find(end);
    const std::string_view head = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return head;
}

/// Whether the comma-separated `list` holds `word`.
constexpr bool lists(std::string_view list, std::string_view word) noexcept {
    while (!list.empty()) {
        if (cut(list, ',') == word) {
            return true;
        }
    }
    return false;
}

/// \returns the number at the front of `text`, white space after it allowed; none for a sign.
inline std::optional<std::uint64_t> parse_count(std::string_view text) noexcept {
    std::uint64_t value = 0;
    const auto word = text.substr(0, text.find_first_of("\n "));
    return read_number(word, value) ? std::optional{value} : std::nullopt;
}

/// Quota over period, rounded up: 1.5 cpus keep two threads busy for most of each period.
/// \returns none when unlimited ("max", "-1") or not understood
inline std::optional<unsigned> parse_quota(std::string_view quota,
                                           std::string_view period) noexcept {
    constexpr std::uint64_t most = 1U << 20;
    const auto used = parse_count(quota);
    const auto whole = parse_count(period);
    if (!used || !whole || *used == 0 || *whole == 0) {
        return std::nullopt;
    }
    const std::uint64_t cpus = *used / *whole + (*used % *whole != 0 ? 1 : 0);
    return cpus < most ? std::optional{static_cast<unsigned>(cpus)} : std::nullopt;
}

/// The content of cgroup v2's cpu.max, e.g. "150000 100000" or "max 100000".
inline std::optional<unsigned> parse_cpu_max(std::string_view text) noexcept {
    const std::string_view quota = cut(text, ' ');
    return parse_quota(quota, text);
}

/// The two versions of control groups. Both may be there at once, with the cpu controller in one.
enum class cgroup_version { v1, v2 };

/// The line of /proc/self/cgroup of a controller: "4:cpu,cpuacct:/path", or "0::/path" for version 2,
/// where one line is for all of them. \returns the path
inline std::optional<std::string_view> parse_cgroup(std::string_view text,
                                                    cgroup_version version,
                                                    std::string_view controller = "cpu") noexcept {
    while (!text.empty()) {
        std::string_view line = cut(text, '\n');
        const std::string_view hierarchy = cut(line, ':');
        const std::string_view controllers = cut(line, ':');
        if (version == cgroup_version::v2 ? hierarchy == "0" && controllers.empty()
                                          : lists(controllers, controller)) {
            return line;
        }
    }
    return std::nullopt;
}

/// Where a cgroup hierarchy is mounted, and the cgroup that is at the top of that mount.
struct cgroup_mount {
    std::string_view root;
    std::string_view point;
};

/// Finds the mount in /proc/self/mountinfo. Points with an escaped blank in them are not decoded.
inline std::optional<cgroup_mount> parse_mount(std::string_view text,
                                               cgroup_version version,
                                               std::string_view controller = "cpu") noexcept {
    while (!text.empty()) {
        std::string_view line = cut(text, '\n');
        const std::size_t separator = line.find(" - "); // any number of fields is before it
        if (separator == std::string_view::npos) {
            continue;
        }
        std::string_view tail = line.substr(separator + 3);
        const std::string_view type = cut(tail, ' ');
        cut(tail, ' '); // the source
        if (version == cgroup_version::v2 ? type == "cgroup2"
                                          : type == "cgroup" && lists(tail, controller)) {
            cut(line, ' '), cut(line, ' '), cut(line, ' '); // mount id, parent id, device
            const std::string_view root = cut(line, ' ');
            return cgroup_mount{root, cut(line, ' ')};
        }
    }
    return std::nullopt;
}

/// \returns the path of `cgroup` below the mount, empty for its top. A cgroup outside of the mount,
/// as a container without its own cgroup namespace sees it, counts as the top.
constexpr std::string_view below_mount(std::string_view cgroup, std::string_view root) noexcept {
    if (root != "/") {
        const bool inside = cgroup.substr(0, root.size()) == root &&
                            (cgroup.size() == root.size() || cgroup[root.size()] == '/');
        cgroup = inside ? cgroup.substr(root.size()) : std::string_view{};
    }
    const bool outside = cgroup.substr(0, 3) == "/..";
    return outside || cgroup == "/" ? std::string_view{} : cgroup;
}

/// The smaller of two limits, either of which may be missing.
constexpr std::optional<unsigned> tighter(std::optional<unsigned> a,
                                          std::optional<unsigned> b) noexcept {
    return !a || (b && *b < *a) ? b : a;
}

/// \returns the whole file, empty when it cannot be read. May throw std::bad_alloc.
inline std::string read_text(const std::string& path) {
    std::string text;
    const unique_fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    char buffer[4096];
    while (file) {
        const ssize_t size = retry([&] { return ::read(file.get(), buffer, sizeof buffer); });
        if (size <= 0) {
            break;
        }
        text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
}

/// The limit of the cgroup in `directory` alone.
inline std::optional<unsigned> read_quota(const std::string& directory, cgroup_version version) {
    if (version == cgroup_version::v2) {
        return parse_cpu_max(read_text(directory + "/cpu.max"));
    }
    return parse_quota(read_text(directory + "/cpu.cfs_quota_us"),
                       read_text(directory + "/cpu.cfs_period_us"));
}

/// The tightest limit from the process's cgroup up to the mount, given the contents of
/// /proc/self/cgroup and /proc/self/mountinfo.
inline std::optional<unsigned>
cgroup_quota(std::string_view cgroups, std::string_view mounts, cgroup_version version) {
    const auto cgroup = parse_cgroup(cgroups, version);
    const auto mount = parse_mount(mounts, version);
    if (!cgroup || !mount) {
        return std::nullopt;
    }
    std::string directory{mount->point};
    directory += below_mount(*cgroup, mount->root);
    std::optional<unsigned> limit;
    for (;;) {
        limit = tighter(limit, read_quota(directory, version));
        if (directory.size() <= mount->point.size()) {
            return limit;
        }
        directory.erase(directory.rfind('/'));
    }
}

/// \returns the cpus that the scheduler may choose for this thread, 0 when it does not tell.
inline unsigned affinity_count() noexcept {
    unsigned long mask[8192 / sizeof(unsigned long)]; // 65536 cpus: libc's cpu_set_t ends at 1024
    const long size = ::syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    unsigned count = 0;
    for (std::size_t i = 0; size > 0 && i < static_cast<std::size_t>(size) / sizeof mask[0]; ++i) {
        for (unsigned long word = mask[i]; word != 0; word &= word - 1) {
            ++count;
        }
    }
    return count;
}

/// How many threads can run at once: the affinity, and the cpu quota of the cgroups. At least 1.
///
/// What is missing or not understood does not limit. Blocking: reads a few small files of /proc and
/// /sys, so ask once. Thread-safe.
[[nodiscard]] inline unsigned available_parallelism() noexcept {
    unsigned count = affinity_count();
    if (count == 0) {
        const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
        count = online > 0 ? static_cast<unsigned>(online) : 1;
    }
    try {
        const std::string cgroups = read_text("/proc/self/cgroup");
        const std::string mounts = read_text("/proc/self/mountinfo");
        const auto quota = tighter(cgroup_quota(cgroups, mounts, cgroup_version::v1),
                                   cgroup_quota(cgroups, mounts, cgroup_version::v2));
        return tighter(count, quota).value_or(1);
    } catch (...) { // no memory for the text: the affinity has to do
        return count;
    }
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_CPU_HPP
