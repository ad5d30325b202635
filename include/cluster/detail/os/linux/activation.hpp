// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_ACTIVATION_HPP
#define CLUSTER_DETAIL_OS_LINUX_ACTIVATION_HPP

#include "../../number.hpp"
#include "fd.hpp"
#include "files.hpp"

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail::os {

/// A descriptor that the service manager opened for us, and its name there (FileDescriptorName=).
/// It stays open for as long as this process lives: closing it would be noticed by nobody.
struct activated_socket {
    int descriptor = -1;
    std::string name;
};

/// What systemd passed by LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (sd_listen_fds(3)), made
/// close-on-exec; the variables are taken out of the environment. Nothing when they are meant for
/// another process or make no sense, and then they stay. Not while other threads read theirs.
inline std::vector<activated_socket> take_activated_sockets() {
    constexpr int first = 3;
    constexpr int most = 1024;
    auto number = [](const char* name) {
        const char* text = ::getenv(name);
        std::string_view digits{text == nullptr ? "" : text};
        int value = -1;
        return read_number(digits, value) ? value : -1;
    };
    std::vector<activated_socket> result;
    int count = number("LISTEN_FDS");
    if (number("LISTEN_PID") != process_id() || count <= 0 || count > most) {
        return result;
    }
    auto names = take_variable("LISTEN_FDNAMES").value_or("");
    take_variable("LISTEN_FDS");
    take_variable("LISTEN_PID");
    std::string_view rest{names};
    for (int descriptor = first; descriptor != first + count; ++descriptor) {
        auto end = rest.find(':');
        std::string name{rest.substr(0, end)};
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        if (set_close_on_exec(descriptor)) { // else there is none
            result.push_back({descriptor, name.empty() ? "unknown" : std::move(name)});
        }
    }
    return result;
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_ACTIVATION_HPP
