// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESULT_HPP
#define CLUSTER_RESULT_HPP

#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace cluster {
inline namespace v0 {

/// The answer to a request: a value, or why there is none.
template <typename T>
class result {
public:
    result(T value) : value_{std::move(value)} {}
    result(std::error_code error, std::string text = {}) : error_{error}, text_{std::move(text)} {}

    [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
    [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }

    /// \throws std::system_error when there is no value.
    [[nodiscard]] T& value() & { return check(), *value_; }
    [[nodiscard]] const T& value() const& { return check(), *value_; }
    [[nodiscard]] T&& value() && { return check(), std::move(*value_); }
    [[nodiscard]] T& operator*() & noexcept { return *value_; }
    [[nodiscard]] const T& operator*() const& noexcept { return *value_; }
    [[nodiscard]] T* operator->() noexcept { return &*value_; }
    [[nodiscard]] const T* operator->() const noexcept { return &*value_; }
    [[nodiscard]] T value_or(T otherwise) const { return value_ ? *value_ : std::move(otherwise); }

    /// `errc::request_timeout`, `errc::request_failed` (the handler threw: see text()),
    /// `errc::channel_closed`, `errc::bad_payload`; none with a value.
    [[nodiscard]] std::error_code error() const noexcept { return error_; }
    /// What the other side said about its failure.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    void check() const {
        if (!value_) {
            throw text_.empty() ? std::system_error(error_) : std::system_error(error_, text_);
        }
    }

    std::optional<T> value_;
    std::error_code error_;
    std::string text_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESULT_HPP
