// SPDX-License-Identifier: MIT
// The main() of test programs that have process pools: their workers are the same program.
#define DOCTEST_CONFIG_IMPLEMENT
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS // workers are killed on purpose
#include <doctest/doctest.h>

#include "pool_program.hpp"

#include <cluster/pool/process_pool.hpp>

#include <cstdlib>
#include <string_view>

#include <unistd.h>

namespace {

/// A worker that does not what a worker does.
void misbehave(std::string_view how) {
    namespace detail = cluster::detail;
    if (how == "exits") {
        ::_exit(3);
    }
    std::error_code error;
    auto mapping = detail::os::shared_mapping::open(3, sizeof(detail::pool_page), error);
    auto& page = *static_cast<detail::pool_page*>(mapping.data());
    page.ready.store(1);
    if (how == "lies about what it wrote") {
        page.results.written.store(~std::uint64_t{0} / 2);
    } else if (how == "lies about what it read") {
        page.requests.read.store(~std::uint64_t{0} / 2);
    } else if (how == "writes garbage") {
        for (auto& each : page.result_bytes) {
            each = std::byte{0xff};
        }
        page.results.written.store(1000);
    } else if (how == "answers what nobody asked") {
        page.result_bytes[16] = std::byte{77}; // the sequence number
        page.results.written.store(sizeof(detail::result_header));
    }
    for (;;) {
        detail::os::wakeup::notify(4);
        ::usleep(1000);
    }
}

} // namespace

int main(int argc, char** argv) {
    if (const char* how = std::getenv("POOL_TEST_WORKER")) {
        if (std::getenv("CLUSTER_POOL_WORKER") != nullptr && *how != '\0') {
            misbehave(how);
        }
    }
    cluster::serve_pool_worker();
    pool_test::argc = argc;
    pool_test::argv = argv;
    doctest::Context context;
    context.applyCommandLine(argc, argv);
    return context.run();
}
