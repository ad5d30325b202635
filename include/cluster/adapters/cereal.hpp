// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_CEREAL_HPP
#define CLUSTER_ADAPTERS_CEREAL_HPP

/// \file
/// Messages by cereal 1.3 or later: `compose<adapters::cereal>`. As always with cereal, include
/// `<cereal/types/vector.hpp>` and its like for the standard types that are in the messages.

#include "../byte_buffer.hpp"
#include "../error.hpp"
#include "../serialization/concept.hpp"
#include "detail/guarded_decode.hpp"
#include "detail/with_parts.hpp"

#include <cereal/cereal.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <list>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail::cereal_archive {

// How deep values in values may be, counted as cereal does: a struct in a vector is two.
inline constexpr std::size_t deepest = 256;

// cereal's own code for shared_ptr takes a number from the bytes and casts what was stored under it
// to the type that it wants, whatever it is. So no pointer here refers to another one: these two
// hide the functions of the base classes.
class output : public ::cereal::OutputArchive<output, ::cereal::AllowEmptyClassElision> {
public:
    explicit output(byte_buffer& out) noexcept : OutputArchive{this}, out_{out} {}

    void write(const void* bytes, std::size_t count) { out_.append(bytes, count); }

    template <typename Pointer>
    std::uint32_t registerSharedPointer(const Pointer& pointer) {
        return pointer == nullptr ? 0 : 1 | ::cereal::detail::msb_32bit;
    }

    void enter() {
        if (++depth_ > deepest) {
            throw ::cereal::Exception{"values are nested too deeply, or contain themselves"};
        }
    }
    void leave() noexcept { --depth_; }

private:
    byte_buffer& out_;
    std::size_t depth_{};
};

class input : public ::cereal::InputArchive<input, ::cereal::AllowEmptyClassElision> {
public:
    explicit input(std::span<const std::byte> bytes) noexcept
        : InputArchive{this}, rest_{bytes}, elements_{bytes.size() + elements_of_no_bytes} {}

    void read(void* to, std::size_t count) {
        const auto from = take(count);
        if (count != 0) { // memcpy takes no null pointer, not even for nothing
            std::memcpy(to, from.data(), count);
        }
    }

    void read_bools(bool* to, std::size_t count) {
        for (const std::byte each : take(count)) {
            if (each > std::byte{1}) {
                throw ::cereal::Exception{"a bool is neither true nor false"};
            }
            *to++ = each != std::byte{};
        }
    }

    // Every element has bytes of its own, but for empty ones. So no sizes that are honest add up to
    // more than the bytes, and nothing is allocated for others.
    std::uint64_t read_size() {
        std::uint64_t size{};
        read(&size, sizeof size);
        if (size > elements_) {
            throw ::cereal::Exception{"a size is larger than what is there"};
        }
        elements_ -= static_cast<std::size_t>(size);
        return size;
    }

    void registerSharedPointer(std::uint32_t, const std::shared_ptr<void>&) noexcept {}
    std::shared_ptr<void> getSharedPointer(std::uint32_t id) {
        if (id != 0) {
            throw ::cereal::Exception{"a pointer refers to another one"};
        }
        return nullptr;
    }

    void enter() {
        if (++depth_ > deepest) {
            too_deep_ = true;
            throw ::cereal::Exception{"values are nested too deeply"};
        }
    }
    void leave() noexcept { --depth_; }

    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
    [[nodiscard]] bool too_deep() const noexcept { return too_deep_; }

private:
    static constexpr std::size_t elements_of_no_bytes = 1024;

    std::span<const std::byte> take(std::size_t count) {
        if (count > rest_.size()) {
            throw ::cereal::Exception{"the bytes end too early"};
        }
        const auto taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }

    std::span<const std::byte> rest_;
    std::size_t elements_;
    std::size_t depth_{};
    bool too_deep_ = false;
};

// What cereal asks of an archive, found by argument-dependent look-up.

template <typename T>
void prologue(output& to, const T&) {
    to.enter();
}
template <typename T>
void epilogue(output& to, const T&) noexcept {
    to.leave();
}
template <typename T>
void prologue(input& from, const T&) {
    from.enter();
}
template <typename T>
void epilogue(input& from, const T&) noexcept {
    from.leave();
}

template <typename T>
    requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(output& to, const T& value) {
    to.write(std::addressof(value), sizeof value);
}
template <typename T>
    requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(input& from, T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        from.read_bools(std::addressof(value), 1);
    } else {
        from.read(std::addressof(value), sizeof value);
    }
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(output& to, const ::cereal::BinaryData<T>& data) {
    to.write(data.data, static_cast<std::size_t>(data.size));
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(input& from, ::cereal::BinaryData<T>& data) {
    if constexpr (std::is_same_v<std::remove_reference_t<T>, bool*>) {
        from.read_bools(static_cast<bool*>(data.data), static_cast<std::size_t>(data.size));
    } else {
        from.read(data.data, static_cast<std::size_t>(data.size));
    }
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(output& to, const ::cereal::NameValuePair<T>& pair) {
    to(pair.value);
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(input& from, ::cereal::NameValuePair<T>& pair) {
    from(pair.value);
}

template <typename T>
void CEREAL_SAVE_FUNCTION_NAME(output& to, const ::cereal::SizeTag<T>& tag) {
    const auto size = static_cast<std::uint64_t>(tag.size);
    to.write(&size, sizeof size);
}
template <typename T>
void CEREAL_LOAD_FUNCTION_NAME(input& from, ::cereal::SizeTag<T>& tag) {
    tag.size = static_cast<std::remove_reference_t<T>>(from.read_size());
}

// cereal makes all elements at once, before their bytes: large ones would be many times the message.
template <typename Sequence>
void load_one_by_one(input& from, Sequence& to) {
    to.clear();
    for (auto rest = from.read_size(); rest != 0; --rest) {
        from(to.emplace_back());
    }
}
template <typename T, typename Allocator>
    requires(!std::is_arithmetic_v<T>)
void CEREAL_LOAD_FUNCTION_NAME(input& from, std::vector<T, Allocator>& to) {
    load_one_by_one(from, to);
}
template <typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(input& from, std::deque<T, Allocator>& to) {
    load_one_by_one(from, to);
}
template <typename T, typename Allocator>
void CEREAL_LOAD_FUNCTION_NAME(input& from, std::list<T, Allocator>& to) {
    load_one_by_one(from, to);
}

} // namespace detail::cereal_archive
} // namespace v0
} // namespace cluster

CEREAL_SETUP_ARCHIVE_TRAITS(cluster::detail::cereal_archive::input,
                            cluster::detail::cereal_archive::output)

namespace cluster {
inline namespace v0 {
namespace detail::cereal_archive {

// What is empty needs no functions: AllowEmptyClassElision.
template <typename T>
using can_save = std::bool_constant<::cereal::traits::is_output_serializable<T, output>::value ||
                                    std::is_empty_v<T>>;
template <typename T>
using can_load = std::bool_constant<::cereal::traits::is_input_serializable<T, input>::value ||
                                    std::is_empty_v<T>>;

} // namespace detail::cereal_archive

namespace adapters {

/// The `serializer` for types that have cereal's functions: `serialize`, or `save` and `load`.
///
/// Choose it when they have. The bytes are the machine's own, without names or tags, and are for
/// programs of the same build; they are not those of a `cereal::BinaryOutputArchive`. Two
/// `shared_ptr` to one object arrive as two objects, and a pointer to a base class must point to
/// an object of that class: send a `std::variant` instead. An enumeration may come out with any
/// value of its underlying type. Nesting ends at 256 levels, as cereal counts them: a struct in a
/// vector is two. Stateless and thread-safe.
struct cereal {
    static constexpr std::string_view name = "cereal";

    template <typename T>
    static constexpr bool can_encode = detail::with_parts<detail::cereal_archive::can_save, T>();
    template <typename T>
    static constexpr bool can_decode =
        !std::is_const_v<T> && detail::with_parts<detail::cereal_archive::can_load, T>();

    /// Appends the encoding of `value`.
    /// \throws std::bad_alloc, `cereal::Exception` for too deep nesting and objects of derived
    /// classes, and what the functions of the types throw; `out` then ends in a part of it.
    template <typename T>
    static void encode(const T& value, byte_buffer& out) {
        static_assert(can_encode<T>,
                      "cereal: the library cannot save this type; include <cereal/types/...> for "
                      "the standard types in it, or give it a member `template <class Archive> "
                      "void serialize(Archive& archive)` that calls `archive(a, b, c)`.");
        if constexpr (can_encode<T>) {
            detail::cereal_archive::output to{out};
            to(value);
        }
    }

    /// Replaces `value` by what `bytes`, all of them, encode. After an error it is unspecified.
    /// \returns `errc::bad_payload`, `trailing_bytes` or `nesting_too_deep` for other bytes, and
    /// `bad_payload` when a function of the types throws a `std::exception`.
    /// \throws std::bad_alloc.
    template <typename T>
    [[nodiscard]] static std::error_code decode(std::span<const std::byte> bytes, T& value) {
        static_assert(can_decode<T>,
                      "cereal: the library cannot load this type; include <cereal/types/...> for "
                      "the standard types in it, or give it a member `template <class Archive> "
                      "void serialize(Archive& archive)` that calls `archive(a, b, c)`.");
        if constexpr (can_decode<T>) {
            detail::cereal_archive::input from{bytes};
            const auto error = detail::guarded_decode([&]() -> std::error_code {
                from(value);
                return from.at_end() ? std::error_code{} : errc::trailing_bytes;
            });
            return from.too_deep() ? errc::nesting_too_deep : error;
        } else {
            return errc::not_supported;
        }
    }
};

static_assert(serializes<cereal, int>);

} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_CEREAL_HPP
