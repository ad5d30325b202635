// SPDX-License-Identifier: MIT
// What a cluster leaves alone in its processes.
#include "../fixtures/scenario.hpp"

#include <fstream>
#include <string>

using namespace cluster_test;

namespace {

/// The number of threads, and which signals are caught, ignored and blocked.
struct process_state {
    std::string threads;
    std::string caught;
    std::string ignored;
    std::string blocked;

    static process_state now() {
        process_state result;
        std::ifstream status{"/proc/self/status"};
        for (std::string name, value; status >> name && std::getline(status, value);) {
            (name == "Threads:"  ? result.threads
             : name == "SigCgt:" ? result.caught
             : name == "SigIgn:" ? result.ignored
             : name == "SigBlk:" ? result.blocked
                                 : name) = value;
        }
        return result;
    }
};

} // namespace

TEST_CASE("a cluster starts no thread and takes no signal that nobody asked for") {
    const auto before = process_state::now();
    REQUIRE(!before.caught.empty());
    process_state during;
    process_state in_worker;
    run_case<cluster::process_cluster>(
        "a cluster starts no thread and takes no signal that nobody asked for",
        [&](auto& primary) {
            primary.on_message([&](auto& worker, const process_state& told) {
                during = process_state::now();
                in_worker = told;
                worker.disconnect();
            });
            primary.fork();
        },
        [](auto& self) {
            self.listen({.host = "127.0.0.1"}, [](cluster::connection) {});
            self.send(process_state::now());
        });
    CHECK(during.threads == before.threads);
    CHECK(during.caught == before.caught);
    CHECK(during.ignored == before.ignored);
    CHECK(during.blocked == before.blocked);
    CHECK(in_worker.threads == before.threads);
    CHECK(in_worker.caught == before.caught); // the test program's own, in both
}
