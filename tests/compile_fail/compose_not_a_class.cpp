// expect: error: static.assert.*compose: every type must be a policy of exactly one role
#include <cluster.hpp>
cluster::compose<int>* app;
