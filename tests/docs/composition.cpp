// SPDX-License-Identifier: MIT
// What README.md shows of the type that a cluster is.
#include <cluster.hpp>

#include <type_traits>

namespace docs_composition {

// [composition]
// One type, each policy in its place …
using server = cluster::basic_cluster<cluster::scheduling::reuse_port,
                                      cluster::serialization::binary,
                                      cluster::restart::always,
                                      cluster::backend::process>;
// … or the policies in any order, and what is not named is the default.
using same_server = cluster::compose<cluster::restart::always, cluster::scheduling::reuse_port>;
// [/composition]

static_assert(std::is_same_v<server, same_server>);

} // namespace docs_composition
