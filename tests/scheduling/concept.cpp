// SPDX-License-Identifier: MIT
#include <cluster/scheduling/concept.hpp> // first and alone: proves the header is self-contained

#include "../archetypes/scheduling.hpp"

#include <cluster/scheduling/reuse_port.hpp>
#include <cluster/scheduling/shared_socket.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace scheduling_concept_test {

using cluster::accept_site;
using cluster::candidate;
using cluster::candidates;
using cluster::connection_info;
using cluster::scheduling_policy;
using cluster::detail::any_scheduling;
using cluster::detail::checked_scheduling;
using cluster::detail::needs_address;
using cluster::detail::peeks;
using cluster::detail::peeks_sensibly;
using cluster::detail::waits_for_one;

struct worker : candidate {
    worker(std::uint32_t id, std::uint32_t slot, std::size_t in_flight) : in_flight_{in_flight} {
        id_ = id;
        slot_ = slot;
    }
    [[nodiscard]] std::size_t in_flight() const noexcept override { return in_flight_; }

private:
    std::size_t in_flight_;
};

struct stateful {
    static constexpr auto accepts_in = accept_site::primary;
    static constexpr bool needs_address = false;
    int turn = 0;
    int pick(const candidates&, const connection_info&) { return turn++; }
};
struct wants_address_in_the_kernel {
    static constexpr auto accepts_in = accept_site::shared_socket;
    static constexpr bool needs_address = true;
};

struct nothing {};
struct not_a_constant {
    static constexpr int accepts_in = 1;
};
struct no_pick {
    static constexpr auto accepts_in = accept_site::primary;
};
struct picks_nothing {
    static constexpr auto accepts_in = accept_site::primary;
    void pick(const candidates&, const connection_info&) {}
};
struct no_default {
    static constexpr auto accepts_in = accept_site::own_socket;
    explicit no_default(int) {}
};

static_assert(scheduling_policy<archetypes::scheduling>);
static_assert(scheduling_policy<archetypes::scheduling_by_kernel>);
static_assert(scheduling_policy<cluster::scheduling::shared_socket>);
static_assert(scheduling_policy<cluster::scheduling::reuse_port>);
static_assert(scheduling_policy<stateful>);
static_assert(!scheduling_policy<nothing>);
static_assert(!scheduling_policy<not_a_constant>);
static_assert(!scheduling_policy<no_pick>);
static_assert(!scheduling_policy<picks_nothing>);
static_assert(!scheduling_policy<no_default>);
static_assert(!scheduling_policy<int>);
static_assert(!scheduling_policy<void>);

static_assert(std::is_same_v<checked_scheduling<stateful>::type, stateful>);
static_assert(
    std::is_same_v<checked_scheduling<archetypes::scheduling>::type, archetypes::scheduling>);
static_assert(scheduling_policy<any_scheduling>, "what stands in for a faulty one");

static_assert(needs_address(archetypes::scheduling{}), "who says nothing gets the address");
static_assert(!needs_address(archetypes::scheduling_by_kernel{}));
static_assert(!needs_address(stateful{}));
static_assert(needs_address(wants_address_in_the_kernel{}));
static_assert(!needs_address(cluster::scheduling::reuse_port{}));

// Each of them may depend on the object.
struct decides_late : stateful {
    constexpr explicit decides_late(bool on = true) : sticks{on} {}
    [[nodiscard]] constexpr bool needs_address() const { return sticks; }
    [[nodiscard]] constexpr bool waits_for_one() const { return sticks; }
    [[nodiscard]] constexpr std::size_t peeks() const { return sticks ? 10 : 0; }
    bool sticks;
};
struct peeks_too_much : stateful {
    static constexpr std::size_t peeks = cluster::most_peeked + 1;
};
struct peeks_text : stateful {
    static constexpr const char* peeks = "all";
};
static_assert(needs_address(decides_late{}) && waits_for_one(decides_late{}));
static_assert(peeks(decides_late{}) == 10 && peeks(decides_late{false}) == 0);
static_assert(!waits_for_one(stateful{}) && peeks(stateful{}) == 0, "what is not said");
static_assert(peeks_sensibly<decides_late>() && peeks_sensibly<stateful>());
static_assert(!peeks_sensibly<peeks_too_much>() && !peeks_sensibly<peeks_text>());

} // namespace scheduling_concept_test

using namespace scheduling_concept_test;

TEST_SUITE("scheduling/concept") {
    TEST_CASE("a policy sees the workers that can take a connection") {
        worker one{7, 0, 3};
        worker two{9, 1, 0};
        std::array<const candidate*, 2> both{&one, &two};
        candidates ready{both};
        CHECK(ready.size() == 2);
        CHECK(ready[0].id() == 7);
        CHECK(ready[0].in_flight() == 3);
        CHECK(ready[1].slot() == 1);
        archetypes::scheduling policy;
        CHECK(policy.pick(ready, connection_info{}) == 9);
    }
}
