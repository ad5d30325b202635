// SPDX-License-Identifier: MIT
#include <cluster.hpp> // linked into every test program: a missing `inline` fails the link
