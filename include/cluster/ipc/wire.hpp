// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_WIRE_HPP
#define CLUSTER_IPC_WIRE_HPP

#include "../net/address.hpp"
#include "../net/listener.hpp"
#include "../net/server.hpp"
#include "../serialization/binary.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// \file
/// The payloads of the library's own frames, encoded by `serialization::binary`: bytes from a peer
/// decode to a value or to an error.

struct wire_address {
    std::uint8_t family = 0;
    std::uint16_t port = 0;
    std::uint32_t scope = 0;
    std::string bytes;
};

inline wire_address to_wire(const address& from) {
    auto bytes = from.bytes();
    return {static_cast<std::uint8_t>(from.family()),
            from.port(),
            from.scope(),
            {bytes.begin(), bytes.end()}};
}

inline address from_wire(const wire_address& from) noexcept {
    auto copy = [&from]<std::size_t Size>(std::array<std::uint8_t, Size> into) {
        std::size_t at = 0;
        for (char each : from.bytes) {
            into[at++] = static_cast<std::uint8_t>(each);
        }
        return into;
    };
    switch (static_cast<address_family>(from.family)) {
    case address_family::ipv4:
        return from.bytes.size() == 4
                   ? address::ipv4(copy(std::array<std::uint8_t, 4>{}), from.port)
                   : address{};
    case address_family::ipv6:
        return from.bytes.size() == 16
                   ? address::ipv6(copy(std::array<std::uint8_t, 16>{}), from.port, from.scope)
                   : address{};
    case address_family::local:
        return from.bytes.empty() ? address{} : address::local(from.bytes);
    case address_family::none:
        break;
    }
    return {};
}

/// First frame to a worker.
struct welcome_message {
    std::uint32_t protocol = 0;
    std::uint32_t id = 0;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int64_t beat_period = 0; // nanoseconds between two beats of the worker's loop; 0: none
    std::int64_t grace = 0;       // nanoseconds to drain when the primary is gone; 0: end at once
    std::string title;            // for ps; empty: as it is
    std::string name;
    std::string serializer;
    std::uint32_t data_type = 0; // of fork_options::data; 0: none
    std::string data;
    std::uint64_t ring = 0; // bytes of each ring in the memory that comes along; 0: none does
};

/// First frame of a worker.
struct online_message {
    std::uint32_t protocol = 0;
    std::string serializer;
};

/// What a question for the address of a datagram socket has besides.
struct wire_datagram {
    bool wanted = false; // else it is about connections
    bool reuse_address = false;
    bool broadcast = false;
    std::uint32_t receive_buffer = 0;
    std::uint32_t send_buffer = 0;

    friend bool operator==(const wire_datagram&, const wire_datagram&) = default;
};

/// A worker asks for a listening address, or for that of a datagram socket.
struct listen_message {
    std::vector<wire_address> candidates; // in the order of preference
    bool any_host = false;
    bool local_path = false;
    std::string path;        // absolute; a leading NUL: a name without a file
    bool own_socket = false; // whatever the policy says
    std::int32_t fd = -1;
    std::string activated; // a socket of the service manager's, instead of all that
    bool ready = false;    // with this address the worker is ready
    std::uint64_t most = static_cast<std::uint64_t>(-1); // connections of all workers
    bool drops_beyond_most = false;
    bind_options how{};
    wire_datagram datagram{};
    bool sheds = false; // listen_options::under_pressure
};

/// The answer; with a socket unless the primary accepts connections.
struct listen_result_message {
    std::int32_t system_error = 0;
    std::int32_t library_error = 0;
    wire_address at;
    std::uint8_t mode = 0; // accept_mode
};

/// Either side asks the primary for memory that all who use the name share.
struct share_message {
    std::string name;
    std::uint32_t layout = 0; // what it is: all who use the name must say the same
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
};

/// The answer; with the memory unless there is an error.
struct share_result_message {
    std::int32_t system_error = 0;
    std::int32_t library_error = 0;
};

template <typename Result>
std::error_code error_of(const Result& result) noexcept {
    if (result.system_error != 0) {
        return {result.system_error, std::system_category()};
    }
    return result.library_error != 0 ? make_error_code(static_cast<errc>(result.library_error))
                                     : std::error_code{};
}

template <typename Result>
void set_error(Result& result, std::error_code error) noexcept {
    if (error.category() == make_error_code(errc::bad_frame).category()) {
        result.library_error = error.value();
    } else {
        result.system_error = error.value(); // generic and system errors share their numbers here
    }
}

template <typename Message>
void encode_wire(const Message& message, byte_buffer& out) {
    serialization::binary{}.encode(message, out);
}

template <typename Message>
bool decode_wire(std::span<const std::byte> bytes, Message& message) {
    return !serialization::binary{}.decode(bytes, message);
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_WIRE_HPP
