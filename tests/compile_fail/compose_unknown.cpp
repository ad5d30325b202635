// expect: error: static.assert.*compose: every type must be a policy of exactly one role
#include <cluster.hpp>
struct settings {
    int workers;
};
int run(cluster::compose<cluster::restart::always, settings>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
