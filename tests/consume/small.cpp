// SPDX-License-Identifier: MIT
// One header of many: whether a project finds the library does not need all of it.
#include <cluster/event_loop.hpp>
#include <cluster/version.hpp>

#include <chrono>

int main() {
    cluster::event_loop loop;
    bool fired = false;
    loop.after(std::chrono::milliseconds{1}, [&fired] { fired = true; });
    loop.run();
    return fired ? 0 : 1;
}
