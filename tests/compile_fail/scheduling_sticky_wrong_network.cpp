// expect: error: static.assert.*sticky_key::client_network: a network has 1 to 32 bits of an IPv4 address
#include <cluster.hpp>
using mine = cluster::scheduling::sticky<cluster::scheduling::sticky_key::client_network<48, 48>>;
int run(cluster::compose<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
