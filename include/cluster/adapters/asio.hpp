// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_ASIO_HPP
#define CLUSTER_ADAPTERS_ASIO_HPP

/// \file
/// adapters::asio_driver and adapters::to_asio for standalone Asio; see detail/asio.hpp.

#include "detail/asio.hpp"

#include <utility>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

struct standalone_asio {
    using tcp = asio::ip::tcp;
    using descriptor = asio::posix::stream_descriptor;
    using error_code = asio::error_code;
    struct post {
        void operator()(asio::io_context& context, auto&& task) const {
            asio::post(context, std::forward<decltype(task)>(task));
        }
    };
};
template <>
struct asio_library<asio::io_context> : standalone_asio {};
template <>
struct asio_library<asio::ip::tcp> : standalone_asio {};
template <>
struct asio_library<asio::local::stream_protocol> : standalone_asio {};

} // namespace detail
} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_ASIO_HPP
