// SPDX-License-Identifier: MIT
#include <cluster.hpp>
#include <cluster.hpp> // twice on purpose

#include MODULAR // the same headers one by one
