// SPDX-License-Identifier: MIT
#include <cluster/detail/remembered.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <vector>

namespace {

struct counted {
    explicit counted(int& living) : living_{living} { ++living_; }
    counted(counted&&) = delete;
    counted& operator=(counted&&) = delete;
    ~counted() { --living_; }

    int& living_;
};

} // namespace

TEST_SUITE("detail/remembered") {
    TEST_CASE("the last 64 that are over stay and none goes before the next turn") {
        int living = 0;
        cluster::event_loop loop;
        {
            cluster::detail::remembered<counted> all;
            std::vector<counted*> added;
            for (int i = 0; i != 70; ++i) {
                added.push_back(&all.add(std::make_unique<counted>(living)));
            }
            CHECK(all.active().size() == 70);
            for (counted* each : added) {
                all.finished(loop, *each);
            }
            CHECK(all.empty());
            CHECK(living == 70);
            loop.poll();
            CHECK(living == 64);
        }
        CHECK(living == 0);
    }
}
