// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_EXCEPTION_NAME_HPP
#define CLUSTER_DETAIL_EXCEPTION_NAME_HPP

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <string>
#include <typeinfo>

#if !defined(__GLIBCXX__)
#    include <cxxabi.h>
#endif

namespace cluster {
inline namespace v0 {
namespace detail {

#if defined(__GLIBCXX__)
// Of the C++ ABI, and the only one of <cxxabi.h>'s 600 lines that is wanted.
extern "C" char*
__cxa_demangle(const char* mangled, char* output, std::size_t* size, int* status); // NOLINT
inline const std::type_info* current_exception_type() noexcept {
    const auto current = std::current_exception();
    return current ? current.__cxa_exception_type() : nullptr;
}
#else
using abi::__cxa_demangle;
inline const std::type_info* current_exception_type() noexcept {
    return abi::__cxa_current_exception_type();
}
#endif

/// The type of the exception that is being handled, as it is written in C++; also without RTTI.
inline std::string current_exception_name() {
    const std::type_info* type = current_exception_type();
    if (type == nullptr) {
        return "unknown"; // of another language
    }
    int status = 0;
    char* name = __cxa_demangle(type->name(), nullptr, nullptr, &status);
    std::string result = name != nullptr ? name : type->name();
    std::free(name);
    return result;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_EXCEPTION_NAME_HPP
