// expect: error: static.assert.*backoff: the times must be longer than 0
#include <cluster.hpp>
using namespace cluster::literals;
cluster::compose<cluster::restart::backoff<100_ms, cluster::time_span{-1}>> app{0, nullptr};
