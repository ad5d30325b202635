// expect: error: static.assert.*compose: two serializers; leave one out
#include <cluster.hpp>
cluster::compose<cluster::serialization::raw,
                 cluster::restart::never,
                 cluster::serialization::binary>* app;
