// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_BOOST_ASIO_HPP
#define CLUSTER_ADAPTERS_BOOST_ASIO_HPP

/// \file
/// adapters::asio_driver and adapters::to_asio for Boost.Asio and Beast; see detail/asio.hpp.

#include "detail/asio.hpp"

#include <utility> // Boost 1.74 forgets it

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

namespace cluster {
inline namespace v0 {
namespace adapters {
namespace detail {

struct boost_asio {
    using tcp = boost::asio::ip::tcp;
    using descriptor = boost::asio::posix::stream_descriptor;
    using error_code = boost::system::error_code;
    struct post {
        void operator()(boost::asio::io_context& context, auto&& task) const {
            boost::asio::post(context, std::forward<decltype(task)>(task));
        }
    };
};
template <>
struct asio_library<boost::asio::io_context> : boost_asio {};
template <>
struct asio_library<boost::asio::ip::tcp> : boost_asio {};
template <>
struct asio_library<boost::asio::local::stream_protocol> : boost_asio {};

} // namespace detail
} // namespace adapters
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_BOOST_ASIO_HPP
