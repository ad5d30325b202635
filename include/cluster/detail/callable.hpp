// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_CALLABLE_HPP
#define CLUSTER_DETAIL_CALLABLE_HPP

#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename... Types>
struct parameter_list {
    static constexpr std::size_t size = sizeof...(Types);
    template <std::size_t I>
    using at = std::tuple_element_t<I, std::tuple<Types...>>;
};

template <typename Function>
struct parameters_of;
template <typename R, typename C, typename... A>
struct parameters_of<R (C::*)(A...)> {
    using type = parameter_list<A...>;
};
template <typename R, typename C, typename... A>
struct parameters_of<R (C::*)(A...) const> : parameters_of<R (C::*)(A...)> {};
template <typename R, typename C, typename... A>
struct parameters_of<R (C::*)(A...) noexcept> : parameters_of<R (C::*)(A...)> {};
template <typename R, typename C, typename... A>
struct parameters_of<R (C::*)(A...) const noexcept> : parameters_of<R (C::*)(A...)> {};
template <typename R, typename... A>
struct parameters_of<R (*)(A...)> {
    using type = parameter_list<A...>;
};
template <typename R, typename... A>
struct parameters_of<R (*)(A...) noexcept> : parameters_of<R (*)(A...)> {};

template <typename F>
concept plain_callable = requires { &F::operator(); };
template <typename F, typename Role>
concept generic_callable = requires { &F::template operator()<Role>; };

/// The parameters of a handler: of a function, of a lambda, or of a lambda whose one `auto&` stands
/// for the role. Empty for anything else.
template <typename F, typename Role>
consteval auto find_parameters() {
    if constexpr (std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>) {
        return typename parameters_of<F>::type{};
    } else if constexpr (plain_callable<F>) {
        return typename parameters_of<decltype(&F::operator())>::type{};
    } else if constexpr (generic_callable<F, Role>) {
        return typename parameters_of<decltype(&F::template operator()<Role>)>::type{};
    } else {
        return parameter_list<>{};
    }
}

/// What a message handler takes: perhaps the role, the message, perhaps one thing more.
template <typename F, typename Role>
struct handler_shape {
    using parameters = decltype(find_parameters<std::decay_t<F>, Role>());
    static consteval bool first_is_role() {
        if constexpr (parameters::size > 1) {
            return std::is_same_v<std::decay_t<typename parameters::template at<0>>, Role>;
        } else {
            return false;
        }
    }
    static constexpr bool takes_role = first_is_role();
    static constexpr std::size_t message_at = takes_role ? 1 : 0;
    static constexpr std::size_t extra =
        parameters::size == 0 ? 0 : parameters::size - message_at - 1;

    static consteval auto message() {
        if constexpr (parameters::size > message_at) {
            return std::type_identity<std::decay_t<typename parameters::template at<message_at>>>{};
        } else {
            return std::type_identity<int>{}; // see names_message
        }
    }
    using parameter_type = typename decltype(message())::type;
    /// It looks at a text that is not its own.
    static constexpr bool looks_at_text = std::is_same_v<parameter_type, std::string_view>;
    using message_type = std::conditional_t<looks_at_text, std::string, parameter_type>;

    static consteval auto last() {
        if constexpr (extra != 0) {
            return std::type_identity<
                std::decay_t<typename parameters::template at<message_at + 1>>>{};
        } else {
            return std::type_identity<void>{};
        }
    }
    using extra_type = typename decltype(last())::type;

    static consteval bool last_word() {
        if constexpr (parameters::size > message_at) {
            return std::is_rvalue_reference_v<typename parameters::template at<message_at>>;
        } else {
            return false;
        }
    }
    /// It takes the message as its own: `job&&`.
    static constexpr bool takes_over = last_word();

    /// False for a handler without parameters, and for one whose only parameter is `auto`.
    static constexpr bool names_message =
        parameters::size != 0 && !std::is_same_v<message_type, Role>;
};

/// How a value travels: text as std::string, everything else as it is.
template <typename T>
using message_type_of =
    std::conditional_t<std::is_convertible_v<const T&, std::string_view> && !std::is_class_v<T>,
                       std::string,
                       std::conditional_t<std::is_same_v<T, std::string_view>, std::string, T>>;

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_CALLABLE_HPP
