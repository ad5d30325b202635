// SPDX-License-Identifier: MIT
#include <cluster/detail/descriptor_table.hpp> // first and alone: proves the header is self-contained

#include "../support/raw_socket.hpp"
#include "../support/temporary_directory.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <ostream>
#include <sstream>
#include <string>
#include <system_error>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using cluster::stdio;
using cluster::detail::descriptor_table;

std::string contents(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream{path}.rdbuf();
    return all.str();
}

} // namespace

TEST_SUITE("detail/descriptor_table") {
    TEST_CASE("inherited is the descriptor of the same number if it is open") {
        std::error_code error;
        descriptor_table table;
        for (int i = 0; i != 3; ++i) {
            table.add(stdio::inherit, error);
        }
        CHECK_FALSE(error);
        CHECK(table.numbers() == std::vector<int>{0, 1, 2});
    }

    TEST_CASE("files are opened to be read or to be written or to be written at their end") {
        cluster_test::temporary_directory directory;
        std::ofstream{directory / "in"} << "in";
        std::ofstream{directory / "out"} << "old and long";
        std::ofstream{directory / "log"} << "old ";
        auto before = raw::open_descriptors();
        {
            std::error_code error;
            descriptor_table table;
            table.add(stdio::read_from(directory / "in"), error);
            table.add(stdio::write_to(directory / "out"), error);
            table.add(stdio::append_to(directory / "log"), error);
            table.add(stdio::write_to(directory / "fresh"), error);
            REQUIRE_FALSE(error);
            char bytes[2];
            CHECK(::read(table.numbers()[0], bytes, 2) == 2);
            CHECK(::write(table.numbers()[0], "x", 1) == -1);
            CHECK(::write(table.numbers()[1], "new", 3) == 3);
            CHECK(::write(table.numbers()[2], "new", 3) == 3);
        }
        CHECK(contents(directory / "out") == "new");
        CHECK(contents(directory / "log") == "old new");
        struct stat made {};
        CHECK(::stat((directory / "fresh").c_str(), &made) == 0);
        CHECK(raw::open_descriptors() == before);
    }

    TEST_CASE("a file that cannot be opened is an error") {
        cluster_test::temporary_directory directory;
        std::error_code error;
        descriptor_table table;
        table.add(stdio::read_from(directory / "none"), error);
        CHECK(error == std::errc::no_such_file_or_directory);
        error.clear();
        table.add(stdio::write_to(directory.path()), error);
        CHECK(error == std::errc::is_a_directory);
    }
}
