// expect: error: static.assert.*bus: the serializer cannot encode this type
#include <cluster.hpp>
struct job {
    double* values = nullptr;
};
void tell(cluster::bus_node<cluster::local_bus>& node) {
    node.publish(job{});
}
