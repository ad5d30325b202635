// expect: error: static.assert.*on_message/on_request: the serializer cannot decode this type
#include <cluster.hpp>
struct job {
    double* values = nullptr;
};
void listen(cluster::process_cluster::self_type& self) {
    self.on_message([](const job&) {});
}
