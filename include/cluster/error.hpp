// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ERROR_HPP
#define CLUSTER_ERROR_HPP

#include "config.hpp"

#include <string>
#include <system_error>
#include <type_traits>

namespace cluster {
inline namespace v0 {

/// What can go wrong that is not the operating system's fault.
///
/// Converts to `std::error_code` of `error_category()`; failures of system calls keep
/// `std::system_category()` and errno. Where a portable condition fits, comparing with `std::errc`
/// works too: `code == std::errc::timed_out`.
enum class errc {
    channel_closed = 1,   ///< the other side closed the channel, or ended
    bad_frame,            ///< the channel's bytes are no frame; it cannot go on
    message_too_large,    ///< larger than the channel's limit
    too_many_descriptors, ///< more descriptors in one message than the channel's limit
    descriptor_truncated, ///< the kernel dropped descriptors of a message
    bad_payload,          ///< the bytes are no encoding of the type, or end too early
    trailing_bytes,       ///< bytes are left over after the value
    nesting_too_deep,     ///< containers in containers beyond the serializer's limit
    no_handler,           ///< nobody handles a message or request of this type
    request_failed,       ///< the handler of the request failed
    request_timeout,      ///< no reply in time
    worker_gone,          ///< the worker has ended, or never was
    spawn_failed,         ///< the worker could not be started
    conflicting_options,  ///< the same address was asked for with different options
    not_supported,        ///< this backend or system cannot do it
    protocol_mismatch,    ///< the two sides were built from incompatible versions
    would_block,          ///< it cannot be done now without waiting
    cancelled,            ///< given up before it was done
    bad_descriptor,       ///< the descriptor is not of the kind that is needed
    program_is_script,    ///< a worker's program file begins with #!, and is started by descriptor
    uncaught_exception,   ///< an exception has left the function of a worker that is a thread
    has_threads,          ///< a process with several threads cannot be forked
    conflicting_type,     ///< the name stands for shared memory of another type or size
};

namespace detail {

// One sentence each, without a final stop: it is printed after "what: ".
[[nodiscard]] constexpr const char* errc_sentence(errc code) noexcept {
    switch (code) {
    case errc::channel_closed:
        return "the channel is closed";
    case errc::bad_frame:
        return "the channel received bytes that are not a frame";
    case errc::message_too_large:
        return "the message is larger than the channel allows";
    case errc::too_many_descriptors:
        return "the message carries more descriptors than the channel allows";
    case errc::descriptor_truncated:
        return "descriptors of the message were lost on the way";
    case errc::bad_payload:
        return "the payload is not an encoding of the expected type";
    case errc::trailing_bytes:
        return "the payload has bytes left over after the value";
    case errc::nesting_too_deep:
        return "the payload is nested too deeply";
    case errc::no_handler:
        return "nobody handles messages of this type";
    case errc::request_failed:
        return "the handler of the request failed";
    case errc::request_timeout:
        return "the request was not answered in time";
    case errc::worker_gone:
        return "the worker is gone";
    case errc::spawn_failed:
        return "the worker could not be started";
    case errc::conflicting_options:
        return "the address is already in use with different options";
    case errc::not_supported:
        return "the operation is not supported here";
    case errc::protocol_mismatch:
        return "the other side speaks another version of the protocol";
    case errc::would_block:
        return "the operation would have to wait";
    case errc::cancelled:
        return "the operation was cancelled";
    case errc::uncaught_exception:
        return "an exception has left the worker's function";
    case errc::program_is_script:
        return "the program file is a script now, which cannot be a worker of this program";
    case errc::conflicting_type:
        return "the name is already in use for another type or another size";
    case errc::bad_descriptor:
        return "the descriptor is not of the expected kind";
    case errc::has_threads:
        return "the process has other threads already and cannot be forked; start the first worker "
               "before them";
    }
    return "unknown cluster error";
}

class cluster_error_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "cluster"; }

    [[nodiscard]] std::string message(int value) const override {
        return errc_sentence(static_cast<errc>(value));
    }

    [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
        switch (static_cast<errc>(value)) {
        case errc::message_too_large:
            return std::errc::message_size;
        case errc::request_timeout:
            return std::errc::timed_out;
        case errc::not_supported:
            return std::errc::not_supported;
        case errc::would_block:
            return std::errc::operation_would_block;
        case errc::cancelled:
            return std::errc::operation_canceled;
        case errc::bad_frame:
        case errc::protocol_mismatch:
            return std::errc::protocol_error;
        case errc::bad_payload:
        case errc::trailing_bytes:
        case errc::nesting_too_deep:
            return std::errc::bad_message;
        default:
            return {value, *this};
        }
    }
};

} // namespace detail

/// The category of `errc`, named "cluster". Thread-safe.
[[nodiscard]] inline const std::error_category& error_category() noexcept {
    static const detail::cluster_error_category instance;
    return instance;
}

/// Found by argument-dependent look-up when an `errc` becomes a `std::error_code`.
[[nodiscard]] inline std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), error_category()};
}

} // namespace v0
} // namespace cluster

template <>
struct std::is_error_code_enum<cluster::errc> : std::true_type {};

#endif // CLUSTER_ERROR_HPP
