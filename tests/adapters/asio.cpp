// SPDX-License-Identifier: MIT
#include <cluster/adapters/asio.hpp> // first and alone: proves the header is self-contained

#include <asio.hpp>

namespace net = asio;
#define ADAPTER "adapters/asio"
#include "asio_cases.hpp"
