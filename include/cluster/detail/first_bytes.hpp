// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_FIRST_BYTES_HPP
#define CLUSTER_DETAIL_FIRST_BYTES_HPP

#include "../event_loop.hpp"
#include "../unique_fd.hpp"
#include "algorithm.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "os.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A connection that the scheduling policy is to be asked about.
struct arrival {
    unique_fd fd;
    /// Until when its first bytes may be waited for, once they are.
    std::optional<std::chrono::steady_clock::time_point> deadline{};
    /// No more of them will be waited for.
    bool settled = false;
};

/// Told of a connection that need not wait any more.
class first_bytes_owner {
public:
    virtual void on_first_bytes(arrival one) = 0;

protected:
    ~first_bytes_owner() = default;
};

/// Connections whose first bytes have not arrived yet. The bytes stay in the socket: SO_RCVLOWAT
/// keeps those that are there from waking us again.
class first_bytes {
public:
    first_bytes(event_loop& loop,
                first_bytes_owner& owner,
                std::chrono::nanoseconds patience = std::chrono::seconds{1}) noexcept
        : loop_{loop}, owner_{owner}, patience_{patience} {}
    first_bytes(first_bytes&&) = delete;
    first_bytes& operator=(first_bytes&&) = delete;

    [[nodiscard]] bool has_room() const noexcept { return waiting_.size() < most_waiting; }
    [[nodiscard]] std::size_t size() const noexcept { return waiting_.size(); }
    void clear() noexcept { waiting_.clear(); }

    /// Looks at the first `most` bytes of what is there. \returns nothing when the connection has
    /// ended without any. The bytes are good until the next call.
    [[nodiscard]] std::optional<std::span<const std::byte>> look(int fd, std::size_t most) {
        buffer_.resize(most);
        auto there = os::peek(fd, buffer_);
        if (there.error == 0 ? there.bytes == 0 : !there.would_block()) {
            return {};
        }
        return std::span<const std::byte>{buffer_}.first(there.bytes);
    }

    /// Calls the owner when more than the `have` bytes are there, the client has ended its side, or
    /// its time is over. \pre has_room()
    void wait(arrival one, std::size_t have) {
        if (!one.deadline) {
            one.deadline = loop_.now() + patience_;
        }
        auto added = std::make_unique<waiting>(*this, std::move(one), have);
        auto& connection = *waiting_.emplace_back(std::move(added));
        if (!connection.start()) {
            connection.settle();
        }
    }

private:
    static constexpr std::size_t most_waiting = 1024;

    class waiting {
    public:
        waiting(first_bytes& all, arrival one, std::size_t have) noexcept
            : all_{all}, one_{std::move(one)}, have_{have} {}
        ~waiting() { timer_.cancel(); }
        waiting(waiting&&) = delete;
        waiting& operator=(waiting&&) = delete;

        bool start() {
            os::set_receive_low_water(one_.fd.get(), static_cast<int>(have_ + 1));
            return watch();
        }
        void settle() {
            one_.settled = true;
            leave();
        }

    private:
        bool watch() {
            wake_at(*one_.deadline);
            auto& loop = all_.loop_;
            bool failed = watch_.start<&waiting::on_ready>(
                              loop, one_.fd.get(), os::io::readable, *this) != std::error_code{};
            watch_.keep_alive(false);
            return !failed;
        }
        void wake_at(std::chrono::steady_clock::time_point when) {
            timer_.cancel();
            timer_ = all_.loop_.after(when - all_.loop_.now(), [this] { on_time(); });
            timer_.unref();
        }
        void on_ready(os::io what) {
            auto there = all_.look(one_.fd.get(), have_ + 1);
            if (there && there->size() > have_) {
                leave();
            } else if (!there || what & os::io::hangup || os::has_peer_ended(one_.fd.get())) {
                settle();
            } else { // UNIX sockets know no low-water mark: do not spin on what is there
                watch_.stop();
                wake_at(detail::min(*one_.deadline, all_.loop_.now() + again));
            }
        }
        void on_time() {
            if (all_.loop_.now() >= *one_.deadline || !watch()) {
                settle();
            }
        }
        // Destroys this.
        void leave() {
            os::set_receive_low_water(one_.fd.get(), 1);
            watch_.stop();
            auto& all = all_;
            auto one = std::move(one_);
            detail::erase_if(all.waiting_, [this](const auto& each) { return each.get() == this; });
            all.owner_.on_first_bytes(std::move(one));
        }

        static constexpr std::chrono::milliseconds again{10};

        first_bytes& all_;
        arrival one_;
        std::size_t have_;
        io_watch watch_;
        timer timer_;
    };

    event_loop& loop_;
    first_bytes_owner& owner_;
    std::chrono::nanoseconds patience_;
    std::vector<std::byte> buffer_;
    std::vector<std::unique_ptr<waiting>> waiting_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_FIRST_BYTES_HPP
