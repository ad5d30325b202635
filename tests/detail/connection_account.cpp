// SPDX-License-Identifier: MIT
#include <cluster/detail/connection_account.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace {

using cluster::event_loop;
using cluster::detail::connection_account;
using cluster::detail::connection_ticket;

} // namespace

TEST_SUITE("detail/connection_account") {
    TEST_CASE("a ticket is counted once, wherever it moves") {
        event_loop loop;
        auto account = std::make_shared<connection_account>(loop, [] {});
        connection_ticket none;
        none.reset();
        CHECK(account->open() == 0);
        {
            connection_ticket one{account};
            CHECK(account->open() == 1);
            connection_ticket moved{std::move(one)};
            CHECK(account->open() == 1);
            connection_ticket other{account};
            CHECK(account->open() == 2);
            other = std::move(moved); // what it held ends
            CHECK(account->open() == 1);
            other.reset();
            other.reset();
            CHECK(account->open() == 0);
        }
        CHECK(account->open() == 0);
        connection_ticket nobody{nullptr};
    }

    TEST_CASE("an end is told in the loop only while somebody waits") {
        event_loop loop;
        int changes = 0;
        auto account = std::make_shared<connection_account>(loop, [&] { ++changes; });
        connection_ticket{account};
        loop.run();
        CHECK(changes == 0);
        account->wait_for_changes(true);
        connection_ticket{account};
        CHECK(changes == 0);
        loop.run();
        CHECK(changes == 1);
        account->wait_for_changes(false);
        connection_ticket{account};
        loop.run();
        CHECK(changes == 1);
        account->report();
        CHECK(changes == 2);
    }

    TEST_CASE("nobody is told once the server is gone") {
        int changes = 0;
        std::shared_ptr<connection_account> account;
        connection_ticket last;
        {
            event_loop loop;
            account = std::make_shared<connection_account>(loop, [&] { ++changes; });
            account->wait_for_changes(true);
            last = connection_ticket{account};
            connection_ticket{account}; // on its way when the server dies
            account->detach();
            loop.run();
        }
        last.reset(); // the loop is gone, too
        account->report();
        CHECK(changes == 0);
        CHECK(account->open() == 0);
    }

    TEST_CASE("connections end in many threads while the server dies") {
        for (int round = 0; round != 50; ++round) {
            std::vector<std::thread> threads;
            int changes = 0;
            std::shared_ptr<connection_account> account;
            {
                event_loop loop;
                account = std::make_shared<connection_account>(loop, [&] { ++changes; });
                account->wait_for_changes(true);
                for (int t = 0; t != 4; ++t) {
                    threads.emplace_back([account] {
                        for (int i = 0; i != 20; ++i) {
                            connection_ticket{account};
                        }
                    });
                }
                loop.poll();
                account->detach();
            }
            for (auto& each : threads) {
                each.join();
            }
            CHECK(account->open() == 0);
        }
    }
}
