// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ACCEPT_PRESSURE_HPP
#define CLUSTER_DETAIL_ACCEPT_PRESSURE_HPP

#include "../unique_fd.hpp"
#include "chrono.hpp"
#include "os.hpp"

#include <cstddef>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

/// How to treat a listener whose accept() fails for want of resources, or again and again. It stays
/// readable meanwhile, so that trying would keep a processor busy.
class accept_pressure {
public:
    /// Takes a descriptor now that it can spare when there is none left: shed() works from now on.
    void keep_reserve() noexcept {
        sheds_ = true;
        reserve_.reset(os::open_reserve());
    }
    void release_reserve() noexcept {
        sheds_ = false;
        reserve_.reset();
    }

    void succeeded() noexcept {
        pause_ = std::chrono::milliseconds{0};
        failures_ = 0;
    }
    /// A connection of its own fault. \returns whether there have been too many in a row.
    [[nodiscard]] bool failed() noexcept { return ++failures_ >= most_failures; }
    /// 50 ms, then twice as long each time, 500 ms at most.
    [[nodiscard]] std::chrono::milliseconds next_pause() noexcept {
        using namespace std::chrono_literals;
        failures_ = 0;
        pause_ = pause_ == 0ms ? 50ms : (pause_ < 400ms ? 2 * pause_ : 500ms);
        return pause_;
    }

    /// Accepts and closes what waits, in the place of the reserve. \returns how many; 0 also when
    /// another thread was quicker to take the place, or when `cause` is no lack of descriptors of
    /// this process.
    std::size_t shed(int listening, const std::error_code& cause) noexcept {
        if (!sheds_ || cause != std::errc::too_many_files_open) {
            return 0;
        }
        std::size_t count = 0;
        while (reserve_ && count != most_shed) {
            reserve_.reset();
            bool accepted = static_cast<bool>(os::accept_from(listening)); // and closed
            reserve_.reset(os::open_reserve());
            if (!accepted) {
                return count;
            }
            ++count;
        }
        if (!reserve_) {
            reserve_.reset(os::open_reserve());
        }
        return count;
    }

    /// Whether to tell somebody: a second after the last time at the earliest.
    [[nodiscard]] bool is_news(std::chrono::steady_clock::time_point now) noexcept {
        bool news = now >= quiet_until_;
        quiet_until_ = news ? now + std::chrono::seconds{1} : quiet_until_;
        return news;
    }

private:
    static constexpr int most_failures = 128;
    static constexpr std::size_t most_shed = 64;

    std::chrono::milliseconds pause_{0};
    int failures_ = 0;
    bool sheds_ = false;
    unique_fd reserve_;
    std::chrono::steady_clock::time_point quiet_until_{};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ACCEPT_PRESSURE_HPP
