// expect: error: static.assert.*limit: a limit inside a limit; keep the stricter one
#include <cluster.hpp>
using namespace cluster::literals;
using namespace cluster::restart;
cluster::compose<limit<9, 1_min, one_for_all<limit<5, 10_s>>>> app{0, nullptr};
