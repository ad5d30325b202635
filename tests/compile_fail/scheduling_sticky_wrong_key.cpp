// expect: error: static.assert.*scheduling::sticky: the key must be a default constructible type with `sticky_key::value
#include <cluster.hpp>
struct by_port {
    void operator()(const cluster::connection_info&) const {}
};
int run(cluster::compose<cluster::scheduling::sticky<by_port>>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
