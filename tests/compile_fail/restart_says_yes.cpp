// expect: error: static.assert.*Restart: decide\(\) must return cluster::restart_decision
#include <cluster.hpp>
struct mine {
    bool decide(const cluster::exit_report&) { return true; }
};
int run(cluster::compose<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
