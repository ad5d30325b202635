// SPDX-License-Identifier: MIT
#include <cluster/compose.hpp> // first and alone: proves the header is self-contained

#include "archetypes/restart.hpp"
#include "archetypes/scheduling.hpp"
#include "archetypes/serializer.hpp"

#include <cluster/basic_cluster.hpp>
#include <cluster/restart/always.hpp>
#include <cluster/scheduling/reuse_port.hpp>
#include <cluster/scheduling/shared_socket.hpp>
#include <cluster/serialization/raw.hpp>

#include <doctest/doctest.h>

#include <string_view>
#include <system_error>
#include <type_traits>

namespace {

namespace backend = cluster::backend;
namespace restart = cluster::restart;
namespace scheduling = cluster::scheduling;
namespace serialization = cluster::serialization;
using cluster::basic_cluster;
using cluster::compose;

template <typename... Policies>
constexpr bool is = std::is_same_v<
    compose<Policies...>,
    basic_cluster<scheduling::reuse_port, serialization::raw, restart::always, backend::process>>;

// Nothing named: the defaults, which are process_cluster's.
static_assert(std::is_same_v<compose<>, cluster::process_cluster>);
static_assert(std::is_same_v<cluster::process_cluster,
                             basic_cluster<scheduling::round_robin,
                                           serialization::binary,
                                           restart::never,
                                           backend::process>>);

// One named: the others are the defaults.
static_assert(
    std::is_same_v<compose<scheduling::shared_socket>, basic_cluster<scheduling::shared_socket>>);
static_assert(std::is_same_v<compose<serialization::raw>,
                             basic_cluster<scheduling::round_robin, serialization::raw>>);
static_assert(
    std::is_same_v<compose<restart::always>,
                   basic_cluster<scheduling::round_robin, serialization::binary, restart::always>>);
static_assert(std::is_same_v<compose<backend::process>, cluster::process_cluster>);
static_assert(std::is_same_v<compose<scheduling::round_robin>, cluster::process_cluster>);

// All named, in any order.
using s = scheduling::reuse_port;
using e = serialization::raw;
using r = restart::always;
using b = backend::process;
static_assert(is<s, e, r, b> && is<s, e, b, r> && is<s, r, e, b> && is<s, r, b, e> &&
              is<s, b, e, r> && is<s, b, r, e>);
static_assert(is<e, s, r, b> && is<e, s, b, r> && is<e, r, s, b> && is<e, r, b, s> &&
              is<e, b, s, r> && is<e, b, r, s>);
static_assert(is<r, s, e, b> && is<r, s, b, e> && is<r, e, s, b> && is<r, e, b, s> &&
              is<r, b, s, e> && is<r, b, e, s>);
static_assert(is<b, s, e, r> && is<b, s, r, e> && is<b, e, s, r> && is<b, e, r, s> &&
              is<b, r, s, e> && is<b, r, e, s>);
static_assert(is<r, s, e>);

// A user's own, as small as each role allows.
static_assert(std::is_same_v<
              compose<archetypes::restart, archetypes::serializer, archetypes::scheduling>,
              basic_cluster<archetypes::scheduling, archetypes::serializer, archetypes::restart>>);
static_assert(std::is_same_v<compose<archetypes::scheduling_by_kernel>,
                             basic_cluster<archetypes::scheduling_by_kernel>>);

// A final class cannot be inherited from to look for its members.
struct final_scheduling final {
    static constexpr auto accepts_in = cluster::accept_site::shared_socket;
};
struct final_scheduling_with_name final {
    static constexpr auto accepts_in = cluster::accept_site::shared_socket;
    static constexpr std::string_view name = "mine";
};
static_assert(
    std::is_same_v<compose<final_scheduling_with_name>, basic_cluster<final_scheduling_with_name>>);
struct final_restart final {
    cluster::restart_decision decide(const cluster::exit_report&) { return cluster::give_up; }
};
struct final_serializer final {
    static constexpr const char* name = "final";
    template <typename T>
    void encode(const T&, cluster::byte_buffer&) {}
    template <typename T>
    std::error_code decode(std::span<const std::byte>, T&) {
        return {};
    }
};
static_assert(std::is_same_v<compose<final_restart, final_serializer, final_scheduling>,
                             basic_cluster<final_scheduling, final_serializer, final_restart>>);

// A policy in the wrong place of basic_cluster is seen by its concept.
static_assert(!cluster::scheduling_policy<restart::always>);
static_assert(!cluster::restart_strategy<scheduling::reuse_port>);

} // namespace

TEST_SUITE("compose") {
    TEST_CASE("a composed cluster knows its policies") {
        using chosen = compose<restart::always, scheduling::reuse_port>;
        CHECK(std::is_same_v<chosen::scheduling_type, scheduling::reuse_port>);
        CHECK(std::is_same_v<chosen::serializer_type, serialization::binary>);
        CHECK(std::is_same_v<chosen::restart_type, restart::always>);
        CHECK(std::is_same_v<chosen::backend_type, backend::process>);
    }
}
