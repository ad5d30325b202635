// SPDX-License-Identifier: MIT
// A cluster with one policy of each kind, built without RTTI: check.py looks at what of the library is in the program.
// Two workers say hello over a socket that they share, the primary answers, and all end.
#include <cluster.hpp>

namespace {

struct hello {
    int id;
};
struct goodbye {
    int id;
};

using small_cluster = cluster::basic_cluster<cluster::scheduling::round_robin,
                                             cluster::serialization::raw,
                                             cluster::restart::never,
                                             cluster::backend::process>;

} // namespace

int main(int argc, char** argv) {
    small_cluster app{argc, argv};
    int ended = 0;
    int code = app.run(
        [&ended](auto& primary) {
            primary.on_message([](auto& worker, const hello& from) {
                if (from.id == static_cast<int>(worker.id())) {
                    worker.send(goodbye{from.id});
                }
            });
            primary.on(cluster::event::exit, [&ended](auto&, const cluster::exit_status& status) {
                ended += status.success() ? 1 : 0;
            });
            primary.fork(2);
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1", .port = 0}, [](cluster::connection) {});
            self.on_message([&self](const goodbye&) { self.disconnect(); });
            self.send(hello{static_cast<int>(self.id())});
        });
    return app.is_worker() || ended == 2 ? code : 1;
}
