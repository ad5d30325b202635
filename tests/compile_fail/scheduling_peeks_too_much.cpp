// expect: error: static.assert.*Scheduling: `peeks` must be a std::size_t of cluster::most_peeked at most
#include <cluster.hpp>
struct mine {
    static constexpr auto accepts_in = cluster::accept_site::primary;
    static constexpr std::size_t peeks = 1 << 20;
    template <typename Candidates>
    std::size_t pick(const Candidates&, const cluster::connection_info&) {
        return 0;
    }
};
int run(cluster::basic_cluster<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
