// expect: error: static.assert.*compose: two scheduling policies; leave one out
#include <cluster.hpp>
cluster::compose<cluster::scheduling::round_robin, cluster::scheduling::reuse_port>* app;
