// expect: error: static.assert.*run: the first function is the primary's; let it take `auto& primary`
#include <cluster.hpp>
using app_type = cluster::process_cluster;
int run(app_type& app) {
    return app.run([](app_type::self_type&) {}, [](app_type::self_type&) {});
}
