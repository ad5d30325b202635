// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP
#define CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <stdlib.h>

namespace cluster_test {

/// A new directory that goes away, with what is in it, behind the object. Its path is short enough
/// for the sockets in it. Make it in the primary: a worker runs the same test case.
class temporary_directory {
public:
    temporary_directory() {
        auto pattern = (std::filesystem::temp_directory_path() / "cluster-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) {
            throw std::system_error(errno, std::system_category(), pattern);
        }
        path_ = std::filesystem::canonical(pattern).string(); // as getcwd(3) tells it
    }
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    temporary_directory(temporary_directory&&) = delete;
    temporary_directory& operator=(temporary_directory&&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// The path of something in it.
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + '/' + name;
    }

private:
    std::string path_;
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_TEMPORARY_DIRECTORY_HPP
