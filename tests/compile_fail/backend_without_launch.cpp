// expect: error: static.assert.*Backend needs a member `launched_worker launch
#include <cluster.hpp>
struct nowhere {
    static constexpr bool separate_memory = true;
};
cluster::basic_cluster<cluster::scheduling::round_robin,
                       cluster::serialization::binary,
                       cluster::restart::never,
                       nowhere>
    app{0, nullptr};
