// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ROLE_HPP
#define CLUSTER_DETAIL_ROLE_HPP

#include "../backend/process.hpp"
#include "../error.hpp"
#include "../ipc/frame.hpp"
#include "../pool/detail/worker_loop.hpp"
#include "../unique_fd.hpp"
#include "number.hpp"
#include "os.hpp"
#include "standby.hpp"

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

enum class role { none, primary, worker };

inline std::vector<std::string> argument_list(int argc, const char* const* argv) {
    std::vector<std::string> result;
    for (int i = 0; i < argc; ++i) {
        result.emplace_back(argv[i]);
    }
    if (result.empty()) {
        result.emplace_back("cluster");
    }
    return result;
}

/// A cluster's number in its program: the lowest that no living one has, so that a worker, which
/// makes its clusters in the same order, finds its own. Thread-safe.
class cluster_number {
public:
    cluster_number() {
        auto& all = in_use();
        std::lock_guard lock{all.mutex};
        while (value_ != all.taken.size() && all.taken[value_]) {
            ++value_;
        }
        if (value_ == all.taken.size()) {
            all.taken.push_back(true);
        } else {
            all.taken[value_] = true;
        }
    }
    ~cluster_number() {
        auto& all = in_use();
        std::lock_guard lock{all.mutex};
        all.taken[value_] = false;
    }
    cluster_number(cluster_number&&) = delete;
    cluster_number& operator=(cluster_number&&) = delete;

    [[nodiscard]] unsigned value() const noexcept { return value_; }

private:
    struct numbers {
        std::mutex mutex;
        std::vector<bool> taken;
    };
    static numbers& in_use() {
        static numbers all;
        return all;
    }
    unsigned value_ = 0;
};

/// Descriptor 3 is a channel on which a primary has written its welcome, or what a spare has instead.
inline bool is_channel(int fd, frame_kind first = frame_kind::welcome) noexcept {
    return os::is_stream_socket(fd) && os::is_local_socket(fd) && begins_with(first, fd);
}

/// What this process was started as: looked up once, and taken out of the environment, so that its
/// own children are primaries. Blocks for as long as the process is a spare.
struct process_role {
    std::optional<unsigned> cluster; // of this worker; none: a primary
    unique_fd channel;

    static process_role& instance() {
        static process_role only = find();
        return only;
    }

private:
    static process_role find() {
        process_role result;
        auto text = os::take_variable(std::string{role_variable});
        if (!text) {
            return result;
        }
        unsigned number = 0;
        bool comes_from_primary =
            is_channel(channel_descriptor) || is_channel(channel_descriptor, frame_kind::reserve);
        if (!read_number(*text, number) || !comes_from_primary) {
            // Not a primary either: one that starts workers which start workers would never end.
            throw std::system_error(
                make_error_code(errc::bad_descriptor),
                "CLUSTER_WORKER is set, but descriptor 3 is no channel to a primary");
        }
        os::set_close_on_exec(channel_descriptor);
        result.cluster = number;
        result.channel = await_role(unique_fd{channel_descriptor});
        return result;
    }
};

inline role claim_role(unsigned ordinal, unique_fd& channel) {
    serve_if_pool_worker(); // whose main() may make its pool behind this cluster, or inside of it
    auto& process = process_role::instance();
    if (!process.cluster) {
        return role::primary;
    }
    if (*process.cluster != ordinal || !process.channel) {
        return role::none;
    }
    channel = std::move(process.channel);
    return role::worker;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ROLE_HPP
