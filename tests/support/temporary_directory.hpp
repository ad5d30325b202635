// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP
#define CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <stdlib.h>
#include <sys/stat.h>

namespace cluster_test {

/// A new directory, made when it is first asked for, that goes away with what is in it behind the
/// object. Its path is short enough for the sockets in it, and every user may look into it. Ask for
/// it in the primary: a worker runs the same test case.
class temporary_directory {
public:
    temporary_directory() = default;
    ~temporary_directory() {
        if (!path_.empty()) {
            std::error_code ignored;
            std::filesystem::remove_all(path_, ignored);
        }
    }
    temporary_directory(temporary_directory&&) = delete;
    temporary_directory& operator=(temporary_directory&&) = delete;

    [[nodiscard]] const std::string& path() const {
        if (path_.empty()) {
            auto pattern = (std::filesystem::temp_directory_path() / "cluster-XXXXXX").string();
            if (::mkdtemp(pattern.data()) == nullptr || ::chmod(pattern.c_str(), 0755) != 0) {
                throw std::system_error(errno, std::system_category(), pattern);
            }
            path_ = std::filesystem::canonical(pattern).string(); // as getcwd(3) tells it
        }
        return path_;
    }
    /// The path of something in it.
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path() + '/' + name;
    }

private:
    mutable std::string path_;
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP
