// expect: error: static.assert.*Restart needs a member .cluster::restart_decision decide
#include <cluster.hpp>
using namespace cluster::literals;
struct no_strategy {};
cluster::compose<cluster::restart::backoff<100_ms, 5_s, no_strategy>> app{0, nullptr};
