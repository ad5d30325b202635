// SPDX-License-Identifier: MIT
// What README.md and .github/docs/scheduling.md show.
#include "../fixtures/candidates.hpp"

#include <cluster.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string_view>

namespace docs_scheduling {

// [own model]
struct no_more_than_100 {
    static constexpr auto accepts_in = cluster::accept_site::primary;

    template <class Candidates>
    cluster::choice pick(const Candidates& ready, const cluster::connection_info&) {
        for (std::size_t i = 0; i != ready.size(); ++i) {
            if (ready[i].connections() < 100) {
                return i;
            }
        }
        return cluster::refusal::hold; // asked again soon; meanwhile the kernel queues
    }
};
static_assert(cluster::scheduling_policy<no_more_than_100>);

using my_cluster = cluster::compose<no_more_than_100>;
// [/own model]

// [by the kernel]
struct everybody_at_once {
    static constexpr auto accepts_in = cluster::accept_site::own_socket; // and no pick()
};
static_assert(cluster::scheduling_policy<everybody_at_once>);
// [/by the kernel]

// [own key]
namespace sticky_key = cluster::scheduling::sticky_key;

// The first line that a client sends says who it is.
struct first_line {
    static constexpr std::size_t peeks = 64; // bytes; they stay in the socket for the worker

    sticky_key::value operator()(const cluster::connection_info& from) const {
        std::string_view text{reinterpret_cast<const char*>(from.first_bytes.data()),
                              from.first_bytes.size()};
        auto end = text.find('\n');
        if (end == text.npos) {
            return sticky_key::more;
        }
        return text.substr(0, end);
    }
};
using by_user = cluster::scheduling::sticky<first_line>;
// [/own key]

// [at run time]
using any_of_three = cluster::scheduling::from_environment<cluster::scheduling::round_robin,
                                                           cluster::scheduling::shared_socket,
                                                           cluster::scheduling::reuse_port>;
// CLUSTER_SCHED_POLICY=reuse_port ./server, or primary.scheduling().choose("reuse_port")
// [/at run time]
static_assert(any_of_three::names[2] == "reuse_port");

} // namespace docs_scheduling

TEST_CASE("docs: a model of one's own holds what nobody has room for") {
    auto all = scheduling_test::table::of(2);
    docs_scheduling::no_more_than_100 model;
    CHECK(all.next(model) == 0);
    all.workers[0]->has = 100;
    CHECK(all.next(model) == 1);
    all.workers[1]->has = 100;
    auto refused = model.pick(cluster::candidates{all.ready}, {});
    REQUIRE(refused.refused());
    CHECK(refused.why() == cluster::refusal::hold);
}

TEST_CASE("docs: a key of one's own brings a user back to the same worker") {
    auto all = scheduling_test::table::of(4);
    docs_scheduling::by_user model;
    auto pick = [&](std::string_view text, std::uint8_t address) {
        auto client = scheduling_test::from(10, 0, 0, address);
        client.first_bytes = std::as_bytes(std::span{text});
        client.more_may_come = true;
        return model.pick(cluster::candidates{all.ready}, client);
    };
    CHECK(pick("ali", 1).why() == cluster::refusal::more_bytes);
    CHECK(pick("alice\nGET", 1).index() == pick("alice\n", 2).index());
}
