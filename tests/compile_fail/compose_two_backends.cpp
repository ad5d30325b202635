// expect: error: static.assert.*compose: two backends; leave one out
#include <cluster.hpp>
cluster::compose<cluster::backend::process, cluster::backend::process>* app;
