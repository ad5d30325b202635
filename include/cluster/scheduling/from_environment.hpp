// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SCHEDULING_FROM_ENVIRONMENT_HPP
#define CLUSTER_SCHEDULING_FROM_ENVIRONMENT_HPP

#include "../fwd.hpp"
#include "concept.hpp"

#include <array>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

template <std::size_t Size>
constexpr bool are_distinct(const std::array<std::string_view, Size>& names) {
    for (std::size_t i = 0; i != Size; ++i) {
        for (std::size_t j = i + 1; j != Size; ++j) {
            if (names[i] == names[j]) {
                return false;
            }
        }
    }
    return true;
}

template <typename... Policies>
constexpr bool check_choices() {
    constexpr bool named = (has_policy_name<Policies> && ...);
    static_assert(sizeof...(Policies) != 0, "scheduling::from_environment: name some policies.");
    static_assert(named,
                  "scheduling::from_environment: every policy needs `static constexpr "
                  "std::string_view name`.");
    if constexpr (named) {
        static_assert(are_distinct(std::array<std::string_view, sizeof...(Policies)>{
                          policy_name<Policies>()...}),
                      "scheduling::from_environment: two policies have the same name.");
    }
    return ((sizeof(typename checked_scheduling<Policies>::type) != 0) && ...);
}

} // namespace detail

namespace scheduling {

/// A `scheduling_policy` that is chosen when the program starts: by choose(), else by the
/// environment variable CLUSTER_SCHED_POLICY, else the first of the list. Their names are the
/// policies' `name`; Node's "rr" and "none" stand for round_robin and shared_socket. The variable
/// is read when the primary is made, so before the first fork().
template <typename... Policies>
class from_environment {
    static_assert(detail::check_choices<Policies...>());

public:
    /// The name of the variable.
    static constexpr const char* variable = "CLUSTER_SCHED_POLICY";
    /// Those of the policies, in their order.
    static constexpr std::array<std::string_view, sizeof...(Policies)> names{
        detail::policy_name<Policies>()...};

    /// \throws std::invalid_argument, which lists the names, when the variable has another one.
    from_environment() {
        std::get<0>(policies_).emplace();
        const char* wanted = std::getenv(variable);
        if (wanted != nullptr && *wanted != '\0') {
            set(wanted, variable);
        }
    }
    from_environment(from_environment&&) = delete;
    from_environment& operator=(from_environment&&) = delete;

    /// For `primary.scheduling().choose("random")`, before the first worker listens.
    /// \throws std::invalid_argument, which lists the names, for another one.
    /// \throws std::logic_error when a worker has asked to listen already.
    void choose(std::string_view name) {
        if (in_use_) {
            throw std::logic_error("the scheduling policy is in use");
        }
        set(name, "scheduling policy");
    }
    /// The name of the policy that is in use.
    [[nodiscard]] std::string_view chosen() const noexcept { return names[chosen_]; }

    [[nodiscard]] accept_site accepts_in() const {
        in_use_ = true;
        return ask([](const auto& policy) { return detail::site_of(policy); });
    }
    [[nodiscard]] bool needs_address() const {
        return ask([](const auto& policy) { return detail::needs_address(policy); });
    }
    [[nodiscard]] bool waits_for_one() const {
        return ask([](const auto& policy) { return detail::waits_for_one(policy); });
    }
    [[nodiscard]] kernel_steering steering() const {
        return ask([](const auto& policy) { return detail::steering_of(policy); });
    }
    [[nodiscard]] std::size_t peeks() const {
        return ask([](const auto& policy) { return detail::peeks(policy); });
    }
    choice pick(const candidates& ready, const connection_info& from) {
        return ask_in(policies_,
                      [&](auto& policy) { return detail::pick_by(policy, ready, from); });
    }

private:
    template <typename F>
    auto ask(F question) const {
        return ask_in(policies_, question);
    }
    template <std::size_t I = 0, typename All, typename F>
    static auto ask_in(All& policies, F question) {
        auto& policy = std::get<I>(policies);
        if constexpr (I + 1 == sizeof...(Policies)) {
            return question(*policy); // one of them is chosen
        } else {
            return policy ? question(*policy) : ask_in<I + 1>(policies, question);
        }
    }

    void set(std::string_view name, const char* what) {
        std::string_view wanted = name == "rr"     ? "round_robin"
                                  : name == "none" ? "shared_socket"
                                                   : name;
        std::size_t index = 0;
        while (index != names.size() && names[index] != wanted) {
            ++index;
        }
        if (index == names.size()) {
            std::string known;
            for (auto each : names) {
                known += (known.empty() ? "" : ", ") + std::string{each};
            }
            throw std::invalid_argument(std::string{what} + " '" + std::string{name} +
                                        "' is not known; there is: " + known);
        }
        if (index != chosen_) {
            make(index, std::index_sequence_for<Policies...>{});
        }
    }

    // The one that was in use goes last: it stays when the new one cannot be made.
    template <std::size_t... I>
    void make(std::size_t wanted, std::index_sequence<I...>) {
        ((I == wanted ? void(std::get<I>(policies_).emplace()) : void()), ...);
        ((I == chosen_ ? std::get<I>(policies_).reset() : void()), ...);
        chosen_ = wanted;
    }

    std::tuple<std::optional<Policies>...> policies_; // all empty but the chosen one
    std::size_t chosen_ = 0;
    mutable bool in_use_ = false;
};

} // namespace scheduling
} // namespace v0
} // namespace cluster

#endif // CLUSTER_SCHEDULING_FROM_ENVIRONMENT_HPP
