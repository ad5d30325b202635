// SPDX-License-Identifier: MIT
#include <cluster.hpp>

int main(int argc, char** argv) {
    cluster::process_cluster app{argc, argv};
    return app.run([](auto&) {}, [](auto&) {});
}
