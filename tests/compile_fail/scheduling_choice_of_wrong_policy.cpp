// expect: error: static.assert.*Scheduling that accepts in the primary needs a member template `std::size_t pick\(
#include <cluster.hpp>
struct mine {
    static constexpr std::string_view name = "mine";
    static constexpr auto accepts_in = cluster::accept_site::primary;
};
using chosen = cluster::scheduling::from_environment<cluster::scheduling::round_robin, mine>;
int run(cluster::compose<chosen>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
