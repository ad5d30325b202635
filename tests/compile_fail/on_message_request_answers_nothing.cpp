// expect: error: static.assert.*on_request: the handler must return the answer, or take a responder as its last parameter
#include <cluster.hpp>
struct job {
    int number;
};
void serve(cluster::process_cluster::self_type& self) {
    self.on_request([](const job&) {});
}
