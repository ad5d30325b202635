// SPDX-License-Identifier: MIT
#include <cluster/bus/concept.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("names of nodes and subjects are what every bus can take") {
    CHECK(cluster::valid_bus_name("cluster"));
    CHECK(cluster::valid_bus_name("host-1.example.org:80/a"));
    CHECK(cluster::valid_bus_name(std::string(128, 'a')));
    for (const std::string& bad : {std::string{},
                                   std::string(129, 'a'),
                                   std::string{"a b"},
                                   std::string{"a\r\nb"},
                                   std::string{"a\0b", 3},
                                   std::string{"a*"},
                                   std::string{"a.>"},
                                   std::string{".a"},
                                   std::string{"a."},
                                   std::string{"a..b"},
                                   std::string{"\xc3\xa4"}}) {
        CAPTURE(bad);
        CHECK_FALSE(cluster::valid_bus_name(bad));
    }
}

static_assert(!cluster::message_bus<int>);
