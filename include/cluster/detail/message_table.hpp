// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_MESSAGE_TABLE_HPP
#define CLUSTER_DETAIL_MESSAGE_TABLE_HPP

#include "../error.hpp"
#include "../net/handle.hpp"
#include "../serialization/concept.hpp"
#include "../subscription.hpp"
#include "callable.hpp"
#include "memory.hpp"
#include "move_only_function.hpp"
#include "moved_value.hpp"
#include "reply_path.hpp"
#include "type_name.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A message while its handlers run.
template <typename Message>
struct held_message {
    Message* value;

    [[nodiscard]] Message& get() noexcept { return *value; }
};
/// A text, which may still be where it has arrived: it is copied for the first handler that takes a
/// std::string.
template <>
struct held_message<std::string> {
    held_message(std::string* owned) noexcept : value_{owned} {}
    held_message(std::string_view arrived) noexcept : arrived_{arrived} {}

    [[nodiscard]] std::string& get() {
        return value_ != nullptr ? *value_ : *(value_ = &copy_.emplace(arrived_));
    }
    [[nodiscard]] std::string_view view() const noexcept {
        return value_ != nullptr ? std::string_view{*value_} : arrived_;
    }

private:
    std::string* value_ = nullptr;
    std::string_view arrived_;
    std::optional<std::string> copy_;
};

/// The handlers of one role for messages and requests, by the type of the message.
template <typename Role, typename Serializer, bool PassesObjects = false>
class message_table {
public:
    struct arrival {
        std::span<const std::byte> payload;
        handle* descriptor;
        moved_value* value = nullptr;     // instead of the payload
        const reply_path* path = nullptr; // of requests
    };

    template <typename F>
    subscription on_message(F&& f) {
        using shape = handler_shape<F, Role>;
        using message = typename shape::message_type;
        check<shape, PassesObjects>();
        constexpr bool extra_fits =
            shape::extra == 0 ||
            (shape::extra == 1 && std::is_same_v<typename shape::extra_type, handle>);
        static_assert(!shape::names_message || extra_fits,
                      "on_message: behind the message a handler may only take a cluster::handle.");
        if constexpr (explained<shape, PassesObjects> || !extra_fits) {
            return {}; // one sentence, not a page of what follows from it
        } else {
            auto& found = slot_for<message_slot<message>>(message_id<message>(), false);
            return found.handlers.add([f = std::forward<F>(f)](Role& role,
                                                               held_message<message>& arrived,
                                                               handle& passed) mutable {
                using given = std::conditional_t<shape::takes_over, message&&, const message&>;
                auto call = [&](auto&& value) {
                    using value_type = decltype(value);
                    if constexpr (shape::takes_role && shape::extra == 1) {
                        f(role, std::forward<value_type>(value), std::move(passed));
                    } else if constexpr (shape::takes_role) {
                        f(role, std::forward<value_type>(value));
                    } else if constexpr (shape::extra == 1) {
                        f(std::forward<value_type>(value), std::move(passed));
                    } else {
                        f(std::forward<value_type>(value));
                    }
                };
                if constexpr (shape::looks_at_text) {
                    call(arrived.view());
                } else {
                    call(static_cast<given>(arrived.get()));
                }
            });
        }
    }

    /// One handler per type: a later one replaces the earlier.
    template <typename F>
    void on_request(F&& f) {
        using shape = handler_shape<F, Role>;
        using message = typename shape::message_type;
        check<shape, false>();
        if constexpr (!explained<shape, false>) {
            decltype(request_slot<message>::handler) made =
                [f = std::forward<F>(f)](
                    Role& role, const message& value, reply_path path) mutable {
                    answer<shape>(f, role, value, std::move(path));
                };
            slot_for<request_slot<message>>(message_id<message>(), true).handler = std::move(made);
        }
    }

    /// Who handles one type of messages or requests. Lives as long as the table.
    class slot {
    public:
        slot(slot&&) = delete;
        slot& operator=(slot&&) = delete;
        virtual ~slot() = default;
        /// Decodes and calls them. What a handler throws leaves from here, for requests it is the
        /// answer.
        virtual std::error_code deliver(Role& role, const arrival& what) = 0;

    protected:
        explicit slot(const handler_list* handlers) noexcept : handlers_{handlers} {}

    private:
        friend class message_table;
        [[nodiscard]] bool is_for(std::uint32_t type, bool request) const noexcept {
            return type_ == type && (handlers_ == nullptr) == request;
        }

        std::uint32_t type_ = 0;
        const handler_list* handlers_; // null: of requests, which have one
    };

    /// Null: nobody does.
    [[nodiscard]] slot* find(std::uint32_t type, bool request) const noexcept {
        for (const auto& each : slots_) {
            if (each->is_for(type, request)) {
                return request || !each->handlers_->empty() ? each.get() : nullptr;
            }
        }
        return nullptr;
    }

private:
    template <typename Message>
    struct message_slot final : slot {
        message_slot() noexcept : slot{&handlers} {}

        emitter<Role&, held_message<Message>&, handle&> handlers;

        std::error_code deliver(Role& role, const arrival& what) override {
            if constexpr (PassesObjects) {
                if (what.value != nullptr) {
                    Message* value = what.value->template get<Message>();
                    return value ? emit(role, {value}, what) : make_error_code(errc::bad_payload);
                }
            }
            if constexpr (std::is_same_v<Message, std::string> && decodes_text_view<Serializer>) {
                std::string_view text;
                auto error = Serializer{}.decode_text(what.payload, text);
                return error ? error : emit(role, {text}, what);
            } else if constexpr (!PassesObjects || (decodes<Serializer, Message> &&
                                                    std::is_default_constructible_v<Message>)) {
                Message value{};
                auto error = Serializer{}.decode(what.payload, value);
                return error ? error : emit(role, {&value}, what);
            } else {
                return make_error_code(errc::bad_payload);
            }
        }
        std::error_code emit(Role& role, held_message<Message> value, const arrival& what) {
            handlers.emit(role, value, *what.descriptor);
            return {};
        }
    };

    template <typename Message>
    struct request_slot final : slot {
        request_slot() noexcept : slot{nullptr} {}

        move_only_function<void(Role&, const Message&, reply_path)> handler;

        std::error_code deliver(Role& role, const arrival& what) override {
            Message value{};
            if (auto error = Serializer{}.decode(what.payload, value)) {
                send_failure(*what.path, error.message());
                return error;
            }
            handler(role, value, *what.path);
            return {};
        }
    };

    // `Objects`: they need not be decoded.
    template <typename Shape, bool Objects>
    static constexpr bool explained =
        !Shape::names_message ||
        (!Objects && !std::is_default_constructible_v<typename Shape::message_type>);

    template <typename Shape, bool Objects>
    static constexpr void check() {
        using message = typename Shape::message_type;
        static_assert(
            Shape::names_message,
            "on_message/on_request: the handler must take the message by its type, as in "
            "`[](const job& message) {…}` or `[](auto& from, const job& message) {…}`; only the "
            "role may be `auto&`.");
        static_assert(
            Objects || !Shape::names_message || std::is_default_constructible_v<message>,
            "on_message/on_request: a message must be default constructible, to be decoded "
            "into.");
        if constexpr (!Objects && !explained<Shape, false>) { // the serializer may have more to say
            static_assert(decodes<Serializer, message>,
                          "on_message/on_request: the serializer cannot decode this type; see "
                          "cluster/serialization/concept.hpp for what it can.");
        }
    }

    template <typename Slot>
    Slot& slot_for(std::uint32_t type, bool request) {
        for (auto& each : slots_) {
            if (each->is_for(type, request)) {
                return static_cast<Slot&>(*each);
            }
        }
        slots_.push_back(std::make_unique<Slot>());
        slots_.back()->type_ = type;
        return static_cast<Slot&>(*slots_.back());
    }

    template <typename Shape, typename F, typename Message>
    static void answer(F& f, Role& role, const Message& value, reply_path path) {
        auto call = [&](auto&&... extra) -> decltype(auto) {
            if constexpr (Shape::takes_role) {
                return f(role, value, std::forward<decltype(extra)>(extra)...);
            } else {
                return f(value, std::forward<decltype(extra)>(extra)...);
            }
        };
        try {
            if constexpr (Shape::extra == 1) {
                call(typename Shape::extra_type{path});
            } else {
                using reply = decltype(call());
                static_assert(!std::is_void_v<reply>,
                              "on_request: the handler must return the answer, or take a responder "
                              "as its last parameter to answer later.");
                if constexpr (!std::is_void_v<reply>) {
                    send_reply<Serializer, message_type_of<std::decay_t<reply>>>(path, call());
                }
            }
        } catch (const std::exception& error) {
            send_failure(path, error.what());
        } catch (...) {
            send_failure(path, "unknown exception");
        }
    }

    std::vector<std::unique_ptr<slot>> slots_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_MESSAGE_TABLE_HPP
