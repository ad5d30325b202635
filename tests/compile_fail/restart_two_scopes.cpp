// expect: error: static.assert.*restart: two of one_for_one, one_for_all and rest_for_one
#include <cluster.hpp>
using namespace cluster::literals;
using namespace cluster::restart;
cluster::compose<one_for_all<limit<5, 10_s, rest_for_one<>>>> app{0, nullptr};
