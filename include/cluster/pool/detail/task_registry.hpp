// SPDX-License-Identifier: MIT
#ifndef CLUSTER_POOL_DETAIL_TASK_REGISTRY_HPP
#define CLUSTER_POOL_DETAIL_TASK_REGISTRY_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/exception_name.hpp"
#include "../../error.hpp"
#include "../../serialization/concept.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A function that workers can be asked for. Each is entered at static initialisation, because a
/// submit() names it as a template argument; as a worker is the same program, it has the same ones.
class task_function {
public:
    using call_type = void (*)(std::span<const std::byte> arguments,
                               std::uint32_t count,
                               byte_buffer& result);

    task_function(std::string_view name, call_type function) noexcept
        : id_{hash(name)}, call_{function}, next_{first_} {
        // Functions of one name in several translation units: told apart by the order in which
        // they are entered, which the program's file decides.
        while (find(id_) != nullptr) {
            ++id_;
        }
        first_ = this;
    }
    task_function(task_function&&) = delete;
    task_function& operator=(task_function&&) = delete;

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] call_type call() const noexcept { return call_; }

    static const task_function* find(std::uint64_t id) noexcept {
        for (const task_function* each = first_; each != nullptr; each = each->next_) {
            if (each->id_ == id) {
                return each;
            }
        }
        return nullptr;
    }

private:
    // 64-bit FNV-1a.
    static std::uint64_t hash(std::string_view text) noexcept {
        std::uint64_t result = 0xcbf29ce484222325U;
        for (const char each : text) {
            result = (result ^ static_cast<unsigned char>(each)) * 0x100000001b3U;
        }
        return result;
    }

    static inline constinit const task_function* first_ = nullptr;

    std::uint64_t id_;
    call_type call_;
    const task_function* next_;
};

template <typename Function>
struct signature;
template <typename R, typename... A>
struct signature<R (*)(A...)> {
    using result = R;
    using arguments = std::tuple<std::decay_t<A>...>;
    static constexpr std::size_t count = sizeof...(A);
};
template <typename R, typename... A>
struct signature<R (*)(A...) noexcept> : signature<R (*)(A...)> {};
template <typename R, typename C, typename... A>
struct signature<R (C::*)(A...) const> : signature<R (*)(A...)> {};
template <typename R, typename C, typename... A>
struct signature<R (C::*)(A...) const noexcept> : signature<R (*)(A...)> {};

/// The signature of a function pointer, or of a lambda without captures.
template <typename F>
consteval auto find_signature() {
    if constexpr (std::is_pointer_v<F>) {
        return signature<F>{};
    } else {
        return signature<decltype(&F::operator())>{};
    }
}
template <auto Function>
using signature_of = decltype(find_signature<std::remove_const_t<decltype(Function)>>());

// --- Values as bytes ---------------------------------------------------------------------------

/// A value behind its length, so that any serializer can be followed by another value.
template <typename Serializer, typename T>
void encode_sized(const T& value, byte_buffer& out) {
    const std::size_t at = out.size();
    out.append_le(std::uint32_t{0});
    Serializer serializer;
    serializer.encode(value, out);
    const std::size_t size = out.size() - at - sizeof(std::uint32_t);
    if (size > UINT32_MAX) {
        throw std::system_error(make_error_code(errc::message_too_large));
    }
    store_little_endian(out.data() + at, static_cast<std::uint32_t>(size));
}

/// Cuts what encode_sized() wrote off the front of `bytes`.
inline std::error_code cut_sized(std::span<const std::byte>& bytes,
                                 std::span<const std::byte>& value) noexcept {
    if (bytes.size() < sizeof(std::uint32_t)) {
        return make_error_code(errc::bad_payload);
    }
    const std::size_t size = load_little_endian<std::uint32_t>(bytes.data());
    bytes = bytes.subspan(sizeof(std::uint32_t));
    if (bytes.size() < size) {
        return make_error_code(errc::bad_payload);
    }
    value = bytes.first(size);
    bytes = bytes.subspan(size);
    return {};
}

template <typename Serializer, typename T>
std::error_code decode_sized(std::span<const std::byte>& bytes, T& value) {
    std::span<const std::byte> part;
    if (const auto error = cut_sized(bytes, part)) {
        return error;
    }
    Serializer serializer;
    return serializer.decode(part, value);
}

/// Arguments: one alone is its encoding, several have their lengths before them.
template <typename Serializer, typename Tuple>
void encode_arguments(const Tuple& arguments, byte_buffer& out) {
    if constexpr (std::tuple_size_v<Tuple> == 1) {
        Serializer serializer;
        serializer.encode(std::get<0>(arguments), out);
    } else {
        std::apply([&](const auto&... each) { (encode_sized<Serializer>(each, out), ...); },
                   arguments);
    }
}

template <typename Serializer, typename Tuple>
std::error_code decode_arguments(std::span<const std::byte> bytes, Tuple& arguments) {
    if constexpr (std::tuple_size_v<Tuple> == 1) {
        Serializer serializer;
        return serializer.decode(bytes, std::get<0>(arguments));
    } else {
        std::error_code error;
        std::apply(
            [&](auto&... each) {
                ((error = error ? error : decode_sized<Serializer>(bytes, each)), ...);
            },
            arguments);
        return error || bytes.empty() ? error : make_error_code(errc::trailing_bytes);
    }
}

/// The exception that is being handled, as two texts.
inline void encode_exception(byte_buffer& out) {
    const std::string type = current_exception_name();
    std::string text;
    try {
        throw;
    } catch (const std::exception& error) {
        text = error.what();
    } catch (...) {
        text = type; // all that is known
    }
    for (const std::string& each : {type, text}) {
        out.append_le(static_cast<std::uint32_t>(each.size()));
        out.append(each.data(), each.size());
    }
}

// --- Calls in the worker -----------------------------------------------------------------------

template <auto Function, typename Serializer>
void call_function(std::span<const std::byte> bytes, byte_buffer& result) {
    using shape = signature_of<Function>;
    typename shape::arguments arguments{};
    if (const auto error = decode_arguments<Serializer>(bytes, arguments)) {
        throw std::system_error(error, "the arguments");
    }
    if constexpr (std::is_void_v<typename shape::result>) {
        std::apply(Function, std::move(arguments));
    } else {
        const auto& value = std::apply(Function, std::move(arguments));
        Serializer serializer;
        serializer.encode(value, result);
    }
}

/// For each of `count` elements: a byte that tells whether it threw, and the sized result.
template <auto Function, typename Serializer>
void call_for_each(std::span<const std::byte> bytes, std::uint32_t count, byte_buffer& result) {
    for (std::uint32_t i = 0; i != count; ++i) {
        std::span<const std::byte> element;
        if (const auto error = cut_sized(bytes, element)) {
            throw std::system_error(error, "the elements");
        }
        const std::size_t begin = result.size();
        *result.extend(1) = std::byte{0};
        result.append_le(std::uint32_t{0});
        const std::size_t value = result.size();
        try {
            call_function<Function, Serializer>(element, result);
        } catch (...) {
            result.truncate(value);
            result.data()[begin] = std::byte{1};
            encode_exception(result);
        }
        store_little_endian(result.data() + begin + 1,
                            static_cast<std::uint32_t>(result.size() - value));
    }
}

template <auto Function, typename Serializer>
constexpr std::string_view call_name() noexcept {
    return __PRETTY_FUNCTION__;
}

/// What a submit() or map() of this function refers to.
template <auto Function, typename Serializer>
struct registered_function {
    static inline const task_function entry{
        call_name<Function, Serializer>(),
        [](std::span<const std::byte> arguments, std::uint32_t count, byte_buffer& result) {
            if (count == 0) {
                call_function<Function, Serializer>(arguments, result);
            } else if constexpr (signature_of<Function>::count == 1) {
                call_for_each<Function, Serializer>(arguments, count, result);
            }
        }};
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_POOL_DETAIL_TASK_REGISTRY_HPP
