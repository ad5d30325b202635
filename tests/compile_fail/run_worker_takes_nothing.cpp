// expect: error: static.assert.*run: the second function is the worker's; let it take `auto& self`
#include <cluster.hpp>
int run(cluster::process_cluster& app) {
    return app.run([](auto& primary) { primary.fork(); }, [] {});
}
