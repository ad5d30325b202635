// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_FUNCTION_REF_HPP
#define CLUSTER_DETAIL_FUNCTION_REF_HPP

#include "inline_target.hpp"
#include "memory.hpp"

#include <concepts>
#include <type_traits>

namespace cluster {
inline namespace v0 {
namespace detail {

template <typename Signature>
class function_ref;

/// What std::function_ref is in C++26: a callable for the time of a call, so that who is called need
/// not be a template. Owns nothing, allocates nothing.
template <typename Result, typename... Args>
class function_ref<Result(Args...)> {
public:
    template <typename F>
        requires(!std::same_as<std::remove_cvref_t<F>, function_ref> &&
                 callable_as<Result, F, Args...>)
    function_ref(F&& f) noexcept
        : object_{const_cast<void*>(static_cast<const void*>(std::addressof(f)))},
          call_{&call_as<std::remove_reference_t<F>>} {}

    Result operator()(Args... args) const { return call_(object_, static_cast<Args&&>(args)...); }

private:
    template <typename F>
    static Result call_as(void* object, Args&&... args) {
        return static_cast<Result>((*static_cast<F*>(object))(static_cast<Args&&>(args)...));
    }

    void* object_;
    Result (*call_)(void*, Args&&...);
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_FUNCTION_REF_HPP
