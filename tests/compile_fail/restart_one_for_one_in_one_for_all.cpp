// expect: error: static.assert.*restart: two of one_for_one, one_for_all and rest_for_one
#include <cluster.hpp>
using strategy = cluster::restart::one_for_all<cluster::restart::one_for_one<>>;
cluster::basic_cluster<cluster::scheduling::round_robin, cluster::serialization::binary, strategy>
    app{0, nullptr};
