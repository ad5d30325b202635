// SPDX-License-Identifier: MIT
// What .github/docs/backends.md shows.
#include <cluster.hpp>

#include <doctest/doctest.h>

#include <string>
#include <system_error>
#include <vector>

namespace docs_backend {

// [minimal backend]
struct nowhere { // no worker ever starts: each fork() is followed by event::error and event::exit
    static constexpr bool separate_memory = true;

    cluster::detail::launched_worker launch(const cluster::detail::launch_request&,
                                            std::error_code& error) {
        error = cluster::errc::not_supported;
        return {};
    }
};
static_assert(cluster::backend_policy<nowhere>);
// [/minimal backend]

// [own backend]
class at_most_64 : public cluster::backend::process { // starts in all, as a test may want it
public:
    cluster::detail::launched_worker launch(const cluster::detail::launch_request& request,
                                            std::error_code& error) {
        if (started_ == 64) {
            error = std::make_error_code(std::errc::resource_unavailable_try_again);
            return {};
        }
        ++started_;
        return process::launch(request, error);
    }

private:
    int started_ = 0;
};
static_assert(cluster::backend_policy<at_most_64>);

using my_cluster = cluster::compose<at_most_64>;
// [/own backend]

// [shared memory]
using chatty_cluster =
    cluster::compose<cluster::backend::basic_process<cluster::transport::shared_memory>>;
// [/shared memory]
static_assert(sizeof(chatty_cluster) != 0);

} // namespace docs_backend

TEST_CASE("docs: the smallest backend starts nobody and says why") {
    cluster::fork_options options;
    std::vector<std::string> arguments;
    std::error_code error;
    auto none = docs_backend::nowhere{}.launch({options, arguments, -1, -1, 0}, error);
    CHECK(none.child == nullptr);
    CHECK(error == cluster::errc::not_supported);
}
