// expect: error: static.assert.*basic_pool: workers are processes or threads
#include <cluster.hpp>

struct fibers {};
cluster::basic_pool<fibers> pool;
