// expect: error: static.assert.*refork: only workers of cluster::backend::fork share their memory
#include <cluster.hpp>
int main(int argc, char** argv) {
    cluster::process_cluster app{argc, argv};
    return app.run([](auto& primary) { primary.refork(primary.fork()); }, [](auto&) {});
}
