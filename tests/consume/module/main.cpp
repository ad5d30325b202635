// SPDX-License-Identifier: MIT
// A cluster without one header of the library. Standard headers come first, which Clang merges best.
#include <cstdio>
#include <string>

import cluster;

struct question {
    std::string text;
};

using app_type =
    cluster::compose<cluster::scheduling::least_connections, cluster::restart::on_failure>;

int main(int argc, char** argv) {
    app_type app{argc, argv};
    int answers = 0;
    const int status = app.run(
        [&answers](auto& primary) {
            primary.on(cluster::event::online, [](auto& worker) {
                worker.template request<std::string>(
                    question{"who?"}, [&worker](cluster::result<std::string> answer) {
                        std::printf("%s\n", answer.value().c_str());
                        worker.disconnect();
                    });
            });
            primary.on(cluster::event::exit, [&answers](auto&, const cluster::exit_status& end) {
                answers += end.success() ? 1 : 0;
            });
            primary.fork(2);
        },
        [](auto& self) {
            self.on_request(
                [&self](const question&) { return "worker " + std::to_string(self.id()); });
        });
    return status == 0 && (app.is_worker() || answers == 2) ? 0 : 1;
}
