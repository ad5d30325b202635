// SPDX-License-Identifier: MIT
// What .github/docs/buses.md shows of a bus of one's own.
#include <cluster.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <system_error>

#include <sys/eventfd.h>

namespace docs_bus {

// [minimal bus]
class desert_island { // nobody else is there, and nobody ever comes
public:
    static constexpr cluster::bus_traits traits{.ordered_per_publisher = true, .max_payload = 1024};
    struct subscription {};

    std::error_code publish(std::string_view subject, std::span<const std::byte> payload) {
        return publish_to("nobody", subject, payload);
    }
    std::error_code
    publish_to(std::string_view, std::string_view subject, std::span<const std::byte> payload) {
        if (!cluster::valid_bus_name(subject)) {
            return std::make_error_code(std::errc::invalid_argument);
        }
        return payload.size() > traits.max_payload ? cluster::errc::message_too_large
                                                   : std::error_code{};
    }
    subscription subscribe(std::string_view, cluster::bus_handler) { return {}; }
    void on_event(cluster::bus_event_handler) {}
    [[nodiscard]] std::string_view node() const { return "robinson"; }
    [[nodiscard]] int native_handle() const { return never_readable_.get(); }
    std::size_t dispatch() { return 0; }

private:
    cluster::unique_fd never_readable_{::eventfd(0, EFD_CLOEXEC)};
};
static_assert(cluster::message_bus<desert_island>);
// [/minimal bus]

} // namespace docs_bus

TEST_CASE("docs: the smallest bus takes what its page says") {
    docs_bus::desert_island bus;
    std::byte much[2048]{};
    CHECK_FALSE(bus.publish("subject", {}));
    CHECK(bus.publish("not a subject", {}) == std::errc::invalid_argument);
    CHECK(bus.publish("subject", much) == cluster::errc::message_too_large);
    CHECK(bus.native_handle() >= 0);
}
