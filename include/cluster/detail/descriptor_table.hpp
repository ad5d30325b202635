// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_DESCRIPTOR_TABLE_HPP
#define CLUSTER_DETAIL_DESCRIPTOR_TABLE_HPP

#include "../fork_options.hpp"
#include "../unique_fd.hpp"
#include "os.hpp"

#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The descriptors that a child gets, from 0 on. Keeps what it opens for the child until the child
/// has started.
class descriptor_table {
public:
    /// The next descriptor; opens what it needs for that.
    void add(const stdio& what, std::error_code& error) {
        unique_fd ours;
        unique_fd theirs;
        int number = -1;
        if (what.is_descriptor()) {
            number = what.descriptor();
            if (!os::is_open(number)) {
                error = std::make_error_code(std::errc::bad_file_descriptor);
            }
        } else if (what == stdio::inherit) {
            int same = static_cast<int>(numbers_.size());
            number = os::is_open(same) ? same : -1;
        } else if (what == stdio::pipe) {
            if (auto failed = os::make_channel(ours, theirs)) {
                error = failed;
            }
            os::set_nonblocking(theirs.get(), false); // programs expect their output to block
        } else if (what.is_file()) {
            theirs = open(what);
            if (!theirs) {
                error = os::last_error();
            }
        }
        numbers_.push_back(theirs ? theirs.get() : number);
        pipes.push_back(std::move(ours));
        opened_.push_back(std::move(theirs));
    }

    /// The next descriptor is one that stays the caller's.
    void add_borrowed(int number) {
        numbers_.push_back(number);
        pipes.emplace_back();
    }

    [[nodiscard]] const std::vector<int>& numbers() const noexcept { return numbers_; }

    std::vector<unique_fd> pipes; // the parent's ends, by the child's numbers

private:
    static unique_fd open(const stdio& file) noexcept {
        return file.reads() ? os::open_to_read(file.path())
                            : os::open_to_write(file.path(), file.appends());
    }

    std::vector<int> numbers_;
    std::vector<unique_fd> opened_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_DESCRIPTOR_TABLE_HPP
