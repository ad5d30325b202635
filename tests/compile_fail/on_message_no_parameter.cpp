// expect: error: static.assert.*on_message/on_request: the handler must take the message by its type
#include <cluster.hpp>
void listen(cluster::process_cluster::self_type& self) {
    self.on_message([] {});
}
