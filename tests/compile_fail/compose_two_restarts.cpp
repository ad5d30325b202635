// expect: error: static.assert.*compose: two restart policies; nest them or leave one out
#include <cluster.hpp>
cluster::compose<cluster::restart::never, cluster::restart::always>* app;
