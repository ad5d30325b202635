// expect: error: static.assert.*scheduling::from_environment: two policies have the same name
#include <cluster.hpp>
struct mine : cluster::scheduling::round_robin {};
using chosen = cluster::scheduling::from_environment<cluster::scheduling::round_robin, mine>;
int run(cluster::compose<chosen>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
