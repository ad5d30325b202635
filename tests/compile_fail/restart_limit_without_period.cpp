// expect: error: static.assert.*limit: the period must be longer than 0
#include <cluster.hpp>
using namespace cluster::literals;
cluster::compose<cluster::restart::limit<5, 0_s>> app{0, nullptr};
