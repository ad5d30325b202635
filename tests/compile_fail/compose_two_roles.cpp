// expect: error: static.assert.*compose: every type must be a policy of exactly one role
#include <cluster.hpp>
struct both {
    static constexpr auto accepts_in = cluster::accept_site::shared_socket;
    cluster::restart_decision decide(const cluster::exit_report&) { return cluster::leave_dead; }
};
cluster::compose<both, cluster::restart::always>* app;
