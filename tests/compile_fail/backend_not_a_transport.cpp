// expect: error: static.assert.*its transport must have the functions open.. and join
#include <cluster.hpp>
struct nothing {};
cluster::compose<cluster::backend::basic_process<nothing>> app{0, nullptr};
