// expect: error: static.assert.*Restart needs a member `cluster::restart_decision decide\(const cluster::exit_report&\)`
#include <cluster.hpp>
struct mine {};
int run(
    cluster::basic_cluster<cluster::scheduling::round_robin, cluster::serialization::binary, mine>&
        app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
