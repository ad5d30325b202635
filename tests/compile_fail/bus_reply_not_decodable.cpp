// expect: error: static.assert.*request: the serializer cannot decode the reply's type
#include <cluster.hpp>
struct job {
    double* values = nullptr;
};
void ask(cluster::bus_node<cluster::local_bus>& node) {
    node.request_all<job>(1, [](cluster::bus_answers<job>) {});
}
