// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_ACCEPT_PACE_HPP
#define CLUSTER_DETAIL_ACCEPT_PACE_HPP

namespace cluster {
inline namespace v0 {
namespace detail {

/// How many connections to accept before a look at everything else. The call that finds nothing
/// costs as much as one that does, and mostly one client waits: so it is one, and more while there
/// are always more, as in a storm. The poller tells again what stays behind.
class accept_pace {
public:
    [[nodiscard]] int budget() const noexcept { return budget_; }

    void used_up() noexcept {
        if (++streak_ == patience) {
            streak_ = 0;
            budget_ = budget_ < most ? budget_ * 2 : most;
        }
    }
    void found_the_end() noexcept {
        streak_ = 0;
        budget_ = 1;
    }

private:
    static constexpr int patience = 4;
    static constexpr int most = 64;

    int budget_ = 1;
    int streak_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_ACCEPT_PACE_HPP
