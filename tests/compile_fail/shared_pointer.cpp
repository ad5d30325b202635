// expect: error: static.assert.*shared: only trivially copyable types.*no pointers
#include <cluster.hpp>
void share(cluster::process_cluster::primary_type& primary) {
    static_cast<void>(primary.shared<const char*>("names", 4));
}
