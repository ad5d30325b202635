// expect: error: static.assert.*limit: at most 0 restarts; use restart::never
#include <cluster.hpp>
using namespace cluster::literals;
cluster::compose<cluster::restart::limit<0, 10_s>> app{0, nullptr};
