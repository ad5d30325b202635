// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_UNIX_MEETING_HPP
#define CLUSTER_BUS_DETAIL_UNIX_MEETING_HPP

#include "../../detail/algorithm.hpp"
#include "../../detail/os.hpp"
#include "../../net/address.hpp"
#include "../../net/listener.hpp"
#include "../../unique_fd.hpp"

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The path where the nodes of a unix_bus meet: whoever listens there is the hub. Who finds nobody
/// becomes it under the lock of a file beside, which is held for a few system calls only and never
/// removed; so the death of a hub, in whatever way, leaves nothing that is in anybody's way. Nothing
/// here waits.
class unix_meeting {
public:
    unix_meeting(const std::string& path, unsigned mode, std::vector<std::uint32_t> users)
        : path_{os::absolute_path(path)}, mode_{mode}, users_{std::move(users)} {}

    /// Finds the hub or becomes it: one of the two is set then.
    /// \returns `would_block` when it is to be tried again shortly
    std::error_code meet(unique_fd& hub, unique_fd& listening) {
        auto error = find_hub(hub);
        if (error != nobody) {
            return error;
        }
        unique_fd lock;
        error = take_lock(lock);
        if (error) {
            return error;
        }
        if (silent_) {
            os::remove_if_same(path_, *silent_);
            silent_.reset();
        }
        error = find_hub(hub); // somebody may have been quicker
        return error == nobody ? listen(listening) : error;
    }

    [[nodiscard]] bool trusts(std::uint32_t user) const noexcept {
        return user == os::effective_user() || contains(users_, user);
    }

    /// The hub that was found does not answer: it is not to be found any more, and loses its place.
    void depose() noexcept { silent_ = place_; }

    /// Whether nobody else has the place of this hub.
    [[nodiscard]] bool is_ours() const noexcept {
        os::file_identity now;
        return os::identify(path_, now) && now == place_;
    }

    /// This hub ends. Without the lock its socket stays there: others see that it is nobody's.
    void leave() noexcept {
        unique_fd lock;
        if (!take_lock(lock)) {
            os::remove_if_same(path_, place_);
        }
    }

private:
    static constexpr auto nobody = std::errc::connection_refused;

    // Anew each time: the program may go to another directory.
    std::error_code find_address(address& at) const {
        at = address::local(os::shortest_path(path_));
        return at.family() == address_family::none
                   ? std::make_error_code(std::errc::filename_too_long)
                   : std::error_code{};
    }

    std::error_code find_hub(unique_fd& into) {
        address at;
        if (auto error = find_address(at)) {
            return error;
        }
        std::uint32_t owner = 0;
        if (int error = os::find_socket(path_, owner)) {
            return error == ENOENT ? std::make_error_code(nobody)
                                   : std::error_code{error, std::system_category()};
        }
        if (!trusts(owner)) {
            return std::make_error_code(std::errc::permission_denied);
        }
        os::file_identity place;
        if (!os::identify(path_, place) || place == silent_) {
            return std::make_error_code(nobody);
        }
        unique_fd made = os::open_stream_socket(address_family::local);
        if (!made || !os::connect_to(made.get(), at)) { // EAGAIN: many are before us
            return errno == ENOENT ? std::make_error_code(nobody) : os::last_error();
        }
        if (!trusts(os::peer_user(made.get()))) {
            return std::make_error_code(std::errc::permission_denied);
        }
        place_ = place;
        silent_.reset();
        into = std::move(made);
        return {};
    }

    std::error_code take_lock(unique_fd& lock) noexcept {
        auto owner = os::effective_user();
        auto error = os::lock_file(path_ + ".lock", mode_ != 0 ? mode_ : 0666, owner, lock);
        return trusts(owner) ? error : std::make_error_code(std::errc::permission_denied);
    }

    // The lock is ours, so nobody else binds, and who is bound there and does not answer is dead.
    std::error_code listen(unique_fd& into) {
        address at;
        auto error = find_address(at);
        std::uint32_t owner = 0;
        if (!error && os::find_socket(path_, owner) == 0 && trusts(owner)) {
            os::reclaim_stale_socket(at.path(), owner);
        }
        bind_options how;
        how.mode = mode_;
        address bound;
        if (!error) {
            into = bind_once(at, how, bound, error);
        }
        if (into && !os::identify(path_, place_)) {
            error = os::last_error();
        }
        return error;
    }

    std::string path_;
    unsigned mode_;
    std::vector<std::uint32_t> users_;
    os::file_identity place_; // of the hub that was found last, or of our own
    std::optional<os::file_identity> silent_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_UNIX_MEETING_HPP
