// expect: error: static.assert.*run: a worker's function must be copyable with this backend
#include <cluster.hpp>
int main(int argc, char** argv) {
    cluster::thread_cluster app{argc, argv};
    return app.run([](auto& primary) { primary.fork(); }, [owned = std::make_unique<int>(1)](auto&) {});
}
