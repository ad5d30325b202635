// expect: error: static.assert.*on_message: behind the message a handler may only take a cluster::handle
#include <cluster.hpp>
struct job {
    int number;
};
void listen(cluster::process_cluster::self_type& self) {
    self.on_message([](const job&, int) {});
}
