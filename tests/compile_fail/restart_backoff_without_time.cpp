// expect: error: static.assert.*backoff: the times must be longer than 0
#include <cluster.hpp>
using namespace cluster::literals;
cluster::compose<cluster::restart::backoff<0_ms, 5_s>> app{0, nullptr};
