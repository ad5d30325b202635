// expect: error: static.assert.*Scheduling needs `static constexpr auto accepts_in = cluster::accept_site::primary;`
#include <cluster.hpp>
struct mine {
    template <typename Candidates>
    std::size_t pick(const Candidates&, const cluster::connection_info&) {
        return 0;
    }
};
int run(cluster::basic_cluster<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
