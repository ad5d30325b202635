// expect: error: static.assert.*shared_map: only trivially copyable values
#include <cluster.hpp>
#include <string>
void share(cluster::process_cluster::self_type& self) {
    static_cast<void>(self.shared_map<int, std::string>("map", 4));
}
