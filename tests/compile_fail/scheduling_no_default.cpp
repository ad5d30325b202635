// expect: error: static.assert.*Scheduling must be default constructible
#include <cluster.hpp>
struct mine {
    static constexpr auto accepts_in = cluster::accept_site::own_socket;
    explicit mine(int) {}
};
int run(cluster::basic_cluster<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
