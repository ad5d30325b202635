// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ENDPOINT_HPP
#define CLUSTER_DETAIL_ENDPOINT_HPP

#include "../net/address.hpp"
#include "connection_account.hpp"
#include "memory.hpp"
#include "os.hpp"

#include <atomic>
#include <cstdint>
#include <new>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

enum class accept_mode : std::uint8_t {
    handed,    // the primary accepts and passes connections on
    shared,    // every worker accepts from one socket
    own_socket // a socket per worker, of this process or of its slot
};

/// One of the addresses that a server listens on.
class endpoint {
public:
    /// `key`: the primary's number for it, 0 for one of this process alone.
    endpoint(std::uint32_t key, const address& at, accept_mode mode) noexcept
        : key_{key}, at_{at}, mode_{mode} {}
    ~endpoint() { remove_file(); }
    endpoint(endpoint&&) = delete;
    endpoint& operator=(endpoint&&) = delete;

    [[nodiscard]] std::uint32_t key() const noexcept { return key_; }
    [[nodiscard]] const address& at() const noexcept { return at_; }
    [[nodiscard]] accept_mode mode() const noexcept { return mode_; }

    /// The kernel chooses by what is written to this memory.
    std::error_code tell_load(std::uint32_t slot, int descriptor, connection_account& counted_by) {
        std::error_code error;
        auto memory = std::make_shared<os::shared_mapping>(
            os::shared_mapping::map(descriptor, sizeof(os::steering_load), error));
        if (!error) {
            auto* load = std::launder(static_cast<os::steering_load*>(memory->data()));
            load_ = {std::move(memory), load};
            own_ = slot;
            counted_by.count_at({load_, &load_->places[slot].gone});
        }
        return error;
    }
    /// \returns where the kernel has counted the connection for us, if it has.
    load_counter* count_accepted(std::uint32_t slot) noexcept {
        if (!load_) {
            return nullptr;
        }
        load_->accepted[slot].count.fetch_add(1, std::memory_order_relaxed);
        auto& gone = load_->places[slot].gone;
        if (slot != own_) {
            gone.fetch_add(1, std::memory_order_relaxed);
        }
        return slot == own_ ? &gone : nullptr;
    }

    /// The file of a UNIX socket that this process has bound: it goes when the server closes.
    void own_file(std::string path) {
        if (os::identify(path, file_)) {
            path_ = std::move(path);
        }
    }
    void remove_file() noexcept {
        if (!path_.empty()) {
            os::remove_if_same(path_, file_);
            path_.clear();
        }
    }

private:
    std::uint32_t key_;
    address at_;
    accept_mode mode_;
    std::shared_ptr<os::steering_load> load_;
    std::uint32_t own_ = 0; // the place in it
    std::string path_;      // of file_, if any
    os::file_identity file_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ENDPOINT_HPP
