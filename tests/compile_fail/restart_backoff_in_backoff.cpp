// expect: error: static.assert.*backoff: a backoff inside a backoff; keep one of them
#include <cluster.hpp>
using namespace cluster::literals;
using namespace cluster::restart;
cluster::compose<backoff<1_s, 2_s, limit<5, 10_s, backoff<100_ms, 5_s>>>> app{0, nullptr};
