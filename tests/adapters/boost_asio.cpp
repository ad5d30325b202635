// SPDX-License-Identifier: MIT
#include <cluster/adapters/boost_asio.hpp> // first and alone: proves the header is self-contained

#include <boost/asio.hpp>

namespace net = boost::asio;
#define ADAPTER "adapters/boost_asio"
#include "asio_cases.hpp"
