// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SILENCE_HPP
#define CLUSTER_DETAIL_SILENCE_HPP

#include "chrono.hpp"
#include "turn_hook.hpp"

namespace cluster {
inline namespace v0 {
namespace detail {

/// For who waits in a loop for what no descriptor tells unless the loop says that it sleeps.
class silence_hook : public list_node {
public:
    template <typename Owner, bool (Owner::*Function)(bool)>
    static silence_hook for_member(Owner& owner) noexcept {
        return silence_hook{&owner, [](void* object, bool sleeps) {
                                return (static_cast<Owner*>(object)->*Function)(sleeps);
                            }};
    }
    silence_hook(void* owner, bool (*function)(void*, bool)) noexcept
        : owner_{owner}, function_{function} {}

    /// `sleeps`: from now on it must be told. \returns whether it has come already; what is to be
    /// done with it waits for the end of the turn
    bool call(bool sleeps) { return function_(owner_, sleeps); }

private:
    void* owner_;
    bool (*function_)(void*, bool);
};

/// All of those of one loop.
class silence {
public:
    [[nodiscard]] bool awaited() const noexcept { return hooks_.linked(); }

    /// Whether anybody looks for it before the loop sleeps.
    [[nodiscard]] bool looks_out() const noexcept { return spins_ != spins_.zero(); }

    /// `spins`: to look for it so long before the loop sleeps; 0: not at all.
    void add(silence_hook& hook, std::chrono::microseconds spins) noexcept {
        if (!hook.linked()) {
            hook.insert_before(hooks_);
            spins_ = spins > spins_ ? spins : spins_;
        }
    }

    /// The loop sleeps now.
    void tell() {
        while (hooks_.linked()) {
            auto& hook = static_cast<silence_hook&>(*hooks_.next());
            hook.unlink();
            hook.call(true);
        }
    }

    /// Looks for it until it comes, `interrupted()`, or the time is over; not at all when that was
    /// not worth while lately. \returns whether something has come
    template <typename Interrupted>
    bool look_out(Interrupted interrupted) {
        if (!worth_while_ || !looks_out()) {
            return false;
        }
        auto end = std::chrono::steady_clock::now() + spins_;
        do {
            constexpr int rounds = 16; // a look costs less than the time
            for (int i = 0; i != rounds; ++i) {
                for (auto* each = hooks_.next(); each != &hooks_; each = each->next()) {
                    if (static_cast<silence_hook*>(each)->call(false)) {
                        return true;
                    }
                }
                relax();
            }
        } while (!interrupted() && std::chrono::steady_clock::now() < end);
        return false;
    }
    /// How long the loop has waited for whatever woke it: two wakes take longer than a look-out.
    void waited(std::chrono::nanoseconds time) noexcept { worth_while_ = time < 4 * spins_; }

private:
    static void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
        asm volatile("yield");
#endif
    }

    list_node hooks_;
    std::chrono::microseconds spins_{0};
    bool worth_while_ = true;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SILENCE_HPP
