// expect: error: static.assert.*backoff: the first pause is longer than the limit; swap them
#include <cluster.hpp>
using namespace cluster::literals;
cluster::compose<cluster::restart::backoff<5_s, 100_ms>> app{0, nullptr};
