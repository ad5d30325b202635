// expect: error: static.assert.*its argument must be a transport with the functions open.. and join
#include <cluster.hpp>
struct nothing {};
cluster::compose<cluster::backend::basic_process<nothing>> app{0, nullptr};
