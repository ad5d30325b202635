// expect: error: static.assert.*scheduling::from_environment: every policy needs `static constexpr std::string_view name`
#include <cluster.hpp>
struct mine {
    static constexpr auto accepts_in = cluster::accept_site::shared_socket;
};
using chosen = cluster::scheduling::from_environment<cluster::scheduling::round_robin, mine>;
int run(cluster::compose<chosen>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
