// expect: error: static.assert.*Restart must be default constructible
#include <cluster.hpp>
struct mine {
    explicit mine(int) {}
    cluster::restart_decision decide(const cluster::exit_report&) { return cluster::restart_now; }
};
int run(cluster::compose<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
