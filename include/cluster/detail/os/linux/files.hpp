// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_OS_LINUX_FILES_HPP
#define CLUSTER_DETAIL_OS_LINUX_FILES_HPP

#include "../../../net/address.hpp"
#include "../../../unique_fd.hpp"
#include "fd.hpp"
#include "socket.hpp"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cluster {
inline namespace v0 {
namespace detail::os {

inline std::string current_directory() {
    char buffer[PATH_MAX];
    return ::getcwd(buffer, sizeof buffer) == nullptr ? std::string{} : std::string{buffer};
}

/// `path` as seen from the root.
inline std::string absolute_path(std::string_view path) {
    if (path.empty() || path.front() == '/') {
        return std::string{path};
    }
    auto directory = current_directory();
    return (directory == "/" ? "" : directory) + '/' + std::string{path};
}

/// The program that runs now, held open: a file that is replaced on disk does not mix versions.
inline unique_fd open_running_program() noexcept {
    return unique_fd{::open("/proc/self/exe", O_PATH | O_CLOEXEC)};
}
inline unique_fd open_program(const std::string& path) noexcept {
    return unique_fd{::open(path.c_str(), O_PATH | O_CLOEXEC)};
}

/// What a child reads as its standard input, or writes its output to; empty and errno on failure.
inline unique_fd open_to_read(const std::string& path) noexcept {
    return unique_fd{retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY); })};
}
inline unique_fd open_to_write(const std::string& path, bool append) noexcept {
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? O_APPEND : O_TRUNC);
    return unique_fd{retry([&] { return ::open(path.c_str(), flags, 0666); })};
}

/// Whether the file, also one behind an O_PATH descriptor, begins with #!.
inline bool is_script(int program) noexcept {
    char start[2] = {};
    auto link = "/proc/self/fd/" + std::to_string(program);
    unique_fd file{::open(link.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    return file && ::read(file.get(), start, sizeof start) == 2 && start[0] == '#' &&
           start[1] == '!';
}

/// Where the program that runs now was started from: the name by which it was called if that leads
/// to it (a link that a deploy moves keeps its name), else its own. Empty when the system does not
/// tell.
inline std::string running_program_path(const std::string& called) {
    struct stat mine {};
    struct stat named {};
    bool known = ::stat("/proc/self/exe", &mine) == 0;
    if (known && called.find('/') != std::string::npos && ::stat(called.c_str(), &named) == 0 &&
        named.st_dev == mine.st_dev && named.st_ino == mine.st_ino) {
        return absolute_path(called);
    }
    char buffer[PATH_MAX];
    auto length = ::readlink("/proc/self/exe", buffer, sizeof buffer);
    return length > 0 ? std::string(buffer, static_cast<std::size_t>(length)) : std::string{};
}

/// The variables of this process, as exec(3) takes them.
inline char** environment() noexcept {
    return ::environ;
}

/// Reads a variable and takes it out of the environment. Not while other threads read theirs.
inline std::optional<std::string> take_variable(const std::string& name) {
    const char* value = ::getenv(name.c_str());
    if (value == nullptr) {
        return std::nullopt;
    }
    std::string copy{value};
    ::unsetenv(name.c_str());
    return copy;
}

inline int process_id() noexcept {
    return ::getpid();
}
/// Of the calling thread.
inline int thread_id() noexcept {
    return static_cast<int>(::syscall(SYS_gettid));
}

/// The shorter of an absolute path and the same path as seen from the working directory: the
/// address of a UNIX socket has 107 bytes.
inline std::string shortest_path(const std::string& absolute) {
    auto here = current_directory();
    if (here.empty() || here == "/") {
        return absolute;
    }
    here += '/';
    std::size_t common = 0; // length of the common directories, with the slash
    for (std::size_t i = 0; i < here.size() && i < absolute.size() && here[i] == absolute[i]; ++i) {
        if (here[i] == '/') {
            common = i + 1;
        }
    }
    std::string relative;
    for (std::size_t i = common; i < here.size(); ++i) {
        if (here[i] == '/') {
            relative += "../";
        }
    }
    relative += absolute.substr(common);
    return relative.size() < absolute.size() ? relative : absolute;
}

/// Which file it is, whatever its names: a UNIX socket's, to be removed by the one that made it.
struct file_identity {
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const file_identity&, const file_identity&) = default;
};

inline bool identify(int fd, file_identity& identity) noexcept {
    struct stat info {};
    if (::fstat(fd, &info) != 0) {
        return false;
    }
    identity = {info.st_dev, info.st_ino};
    return true;
}

inline bool identify(const std::string& path, file_identity& identity) noexcept {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
        return false;
    }
    identity = {info.st_dev, info.st_ino};
    return true;
}

inline void remove_if_same(const std::string& path, const file_identity& made) noexcept {
    file_identity now;
    if (identify(path, now) && now == made) {
        ::unlink(path.c_str());
    }
}

inline bool set_mode(const std::string& path, unsigned mode) noexcept {
    return ::chmod(path.c_str(), static_cast<mode_t>(mode)) == 0;
}

inline bool set_owner(const std::string& path,
                      std::optional<std::uint32_t> user,
                      std::optional<std::uint32_t> group) noexcept {
    constexpr auto same = static_cast<std::uint32_t>(-1);
    return ::lchown(path.c_str(), user.value_or(same), group.value_or(same)) == 0;
}

/// The longest queue of connections that the system lets a socket have; 0 when it does not tell.
inline int most_backlog() noexcept {
    int value = 0;
    if (std::FILE* file = std::fopen("/proc/sys/net/core/somaxconn", "re")) {
        value = std::fscanf(file, "%d", &value) == 1 ? value : 0;
        std::fclose(file);
    }
    return value;
}

/// Of this process: what it may do to files is decided by it.
inline std::uint32_t effective_user() noexcept {
    return ::geteuid();
}

/// Whose a UNIX socket's file is. \returns ENOTSOCK for anything else, a link among it
inline int find_socket(const std::string& path, std::uint32_t& owner) noexcept {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
        return errno;
    }
    owner = info.st_uid;
    return S_ISSOCK(info.st_mode) ? 0 : ENOTSOCK;
}

/// Removes the socket that a crashed server of this user left: a socket, and nobody answers. Anything
/// else (a live server, a foreign owner, a link, a plain file) stays, and EADDRINUSE with it.
inline bool reclaim_stale_socket(const std::string& path,
                                 std::uint32_t user = effective_user()) noexcept {
    std::uint32_t owner = 0;
    if (find_socket(path, owner) != 0 || owner != user) {
        return false;
    }
    unique_fd probe = open_stream_socket(address_family::local);
    if (!probe || connect_to(probe.get(), address::local(path)) || errno != ECONNREFUSED) {
        return false;
    }
    return ::unlink(path.c_str()) == 0;
}

/// Makes the file if need be, follows no link, and takes its lock, which ends with the descriptor.
/// \returns EWOULDBLOCK while somebody else has it
inline std::error_code
lock_file(const std::string& path, unsigned mode, std::uint32_t& owner, unique_fd& into) noexcept {
    constexpr int flags = O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    unique_fd file{retry([&] { return ::open(path.c_str(), flags, static_cast<mode_t>(mode)); })};
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) {
        return last_error();
    }
    owner = info.st_uid;
    if (!S_ISREG(info.st_mode)) {
        return {EINVAL, std::system_category()};
    }
    if (retry([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) != 0) {
        return last_error();
    }
    into = std::move(file);
    return {};
}

} // namespace detail::os
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_OS_LINUX_FILES_HPP
