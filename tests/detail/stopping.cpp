// SPDX-License-Identifier: MIT
#include <cluster/detail/stopping.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using cluster::detail::stopping::stop_callback;
using cluster::detail::stopping::stop_source;
using cluster::detail::stopping::stop_token;

TEST_CASE("a token without a source never stops") {
    stop_token token;
    CHECK_FALSE(token.stop_requested());
    CHECK_FALSE(token.stop_possible());
    int calls = 0;
    stop_callback callback{token, [&calls] { ++calls; }};
    CHECK(calls == 0);
}

TEST_CASE("a request is seen by all tokens and copies of the source") {
    stop_source source;
    auto copy = source;
    auto token = source.get_token();
    CHECK(token.stop_possible());
    CHECK(token == copy.get_token());
    CHECK_FALSE(token == stop_token{});
    CHECK(copy.request_stop());
    CHECK_FALSE(source.request_stop());
    CHECK(source.stop_requested());
    CHECK(token.stop_requested());
    CHECK(token.stop_possible());
}

TEST_CASE("a token whose sources are gone cannot stop any more") {
    std::optional<stop_source> source{std::in_place};
    auto token = source->get_token();
    std::optional<stop_source> other{*source};
    auto moved = std::move(*source);
    CHECK_FALSE(source->stop_possible());
    source.reset();
    other.reset();
    CHECK(token.stop_possible());
    moved = stop_source{};
    CHECK_FALSE(token.stop_possible());
}

TEST_CASE("callbacks run once at the request and those that are gone do not") {
    stop_source source;
    std::vector<int> order;
    stop_callback first{source.get_token(), [&order] { order.push_back(1); }};
    std::optional second{std::make_unique<int>(2)};
    {
        stop_callback gone{source.get_token(), [&order] { order.push_back(3); }};
    }
    source.request_stop();
    source.request_stop();
    CHECK(order == std::vector{1});
    stop_callback late{source.get_token(),
                       [&order, two = std::move(second)] { order.push_back(**two); }};
    CHECK(order == std::vector{1, 2});
}

TEST_CASE("a callback may destroy itself and its source") {
    std::optional<stop_source> source{std::in_place};
    int calls = 0;
    struct destroys {
        std::optional<stop_source>& source;
        std::unique_ptr<stop_callback<destroys>>& itself;
        int& calls;
        void operator()() const {
            ++calls;
            source.reset();
            itself.reset();
        }
    };
    std::unique_ptr<stop_callback<destroys>> itself;
    itself.reset(new stop_callback<destroys>{source->get_token(), destroys{source, itself, calls}});
    source->request_stop();
    CHECK(calls == 1);
    CHECK_FALSE(source.has_value());
}

TEST_CASE("who removes a callback waits until it has run in another thread") {
    stop_source source;
    std::atomic<int> step{0};
    bool finished = false;
    std::optional<std::thread> requester;
    {
        auto body = [&] {
            step = 1;
            step.notify_all();
            step.wait(1);
            finished = true;
        };
        stop_callback<decltype(body)> callback{source.get_token(), body};
        requester.emplace([&] { source.request_stop(); });
        step.wait(0);
        step = 2;
        step.notify_all();
    }
    CHECK(finished);
    requester->join();
}

TEST_CASE("of requests at the same time one is the first and every callback runs once") {
    for (int round = 0; round != 50; ++round) {
        stop_source source;
        std::atomic<int> first{0};
        std::atomic<int> calls{0};
        auto count = [&calls] { ++calls; };
        std::vector<std::thread> threads;
        for (int i = 0; i != 3; ++i) {
            threads.emplace_back([&] {
                stop_callback callback{source.get_token(), count};
                first += source.request_stop() ? 1 : 0;
                while (calls == 0) { // of the thread that was first
                    std::this_thread::yield();
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        CHECK(first == 1);
        CHECK(calls == 3);
    }
}
