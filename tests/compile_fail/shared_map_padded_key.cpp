// expect: error: static.assert.*shared_map: keys are compared by their bytes
#include <cluster.hpp>
struct padded {
    char letter = 0;
    int number = 0;
};
void share(cluster::process_cluster::self_type& self) {
    static_cast<void>(self.shared_map<padded, int>("map", 4));
}
