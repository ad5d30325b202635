// SPDX-License-Identifier: MIT
// What the programs of this folder have in common: their options, clocks and medians, and that
// `--backend process|rings|fork` says what a worker is; `rings`: a process, by shared memory. A
// worker gets the primary's arguments.
#ifndef CLUSTER_BENCHMARKS_WORKERS_SUPPORT_HPP
#define CLUSTER_BENCHMARKS_WORKERS_SUPPORT_HPP

#include <cluster/backend/fork.hpp>
#include <cluster/backend/process.hpp>
#include <cluster/transport/shared_memory.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <sys/resource.h>

namespace support {

using clock_type = std::chrono::steady_clock;

inline double microseconds(clock_type::duration time) {
    return std::chrono::duration<double, std::micro>(time).count();
}

/// Of this process, in microseconds.
inline double cpu_time() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

inline double at_quantile(std::vector<double> values, double q) {
    if (values.empty()) {
        return 0;
    }
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

/// The arguments as pairs: `--name value`.
class arguments {
public:
    arguments(int argc, char** argv) : argc_{argc}, argv_{argv} {}

    [[nodiscard]] std::string_view text(std::string_view name, std::string_view otherwise) const {
        for (int i = 1; i + 1 < argc_; i += 2) {
            if (argv_[i] == name) {
                return argv_[i + 1];
            }
        }
        return otherwise;
    }
    [[nodiscard]] std::size_t number(std::string_view name, std::size_t otherwise) const {
        const auto found = text(name, "");
        return found.empty() ? otherwise : std::strtoul(found.data(), nullptr, 10);
    }

private:
    int argc_;
    char** argv_;
};

/// So much memory of this process, touched, until the end.
inline void load_memory(std::size_t mebibytes) {
    static std::vector<char> ballast;
    ballast.assign(mebibytes << 20U, 'x');
}

/// A thousand workers take several descriptors each.
inline void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/// Calls `run` with the backend that the arguments name, as a std::type_identity.
template <typename Run>
int on_backend(const arguments& from, Run run) {
    const auto backend = from.text("--backend", "process");
    if (backend == "fork") {
        return run(std::type_identity<cluster::backend::fork>{});
    }
    if (backend == "rings") {
        using rings = cluster::backend::basic_process<cluster::transport::shared_memory>;
        return run(std::type_identity<rings>{});
    }
    return run(std::type_identity<cluster::backend::process>{});
}

} // namespace support

#endif // CLUSTER_BENCHMARKS_WORKERS_SUPPORT_HPP
