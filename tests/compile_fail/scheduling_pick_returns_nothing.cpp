// expect: error: static.assert.*Scheduling that accepts in the primary needs a member template `std::size_t pick\(
#include <cluster.hpp>
struct mine {
    static constexpr auto accepts_in = cluster::accept_site::primary;
    template <typename Candidates>
    void pick(const Candidates&, const cluster::connection_info&) {}
};
int run(cluster::basic_cluster<mine>& app) {
    return app.run([](auto& primary) { primary.fork(); }, [](auto&) {});
}
