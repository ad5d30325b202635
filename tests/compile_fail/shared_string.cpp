// expect: error: static.assert.*shared: only trivially copyable types and lock-free std::atomics
#include <cluster.hpp>
#include <string>
void share(cluster::process_cluster::self_type& self) {
    static_cast<void>(self.shared<std::string>("names", 4));
}
