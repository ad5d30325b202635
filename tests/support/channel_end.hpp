// SPDX-License-Identifier: MIT
#ifndef CLUSTER_TESTS_SUPPORT_CHANNEL_END_HPP
#define CLUSTER_TESTS_SUPPORT_CHANNEL_END_HPP

#include <cluster/ipc/channel.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cluster_test {

/// One end of a channel, which is still to be opened, that notes everything that happens to it.
struct channel_end : cluster::detail::channel_owner {
    cluster::detail::channel link;
    std::string text; // payloads, one behind the other
    std::vector<std::uint32_t> types;
    std::vector<cluster::unique_fd> descriptors;
    int drained = 0;
    int ended = 0;
    int truncated = 0;
    std::vector<cluster::errc> violations;
    std::function<void(cluster::detail::frame&)> on_each;
    std::function<void()> on_drained;

    channel_end(cluster::event_loop& loop, cluster::detail::direction incoming)
        : link{loop, *this, incoming} {}
    ~channel_end() = default;

    cluster::send_result send(std::string_view payload,
                              std::uint32_t type = 0,
                              cluster::detail::descriptor_list passed = {},
                              cluster::send_completion completion = {}) {
        return link.send(
            {0, cluster::detail::frame_kind::message, 0, type, 0},
            [payload](cluster::byte_buffer& out) { out.append(payload.data(), payload.size()); },
            std::move(passed),
            std::move(completion));
    }

    void on_frame(cluster::detail::frame& arrived) override {
        text.append(reinterpret_cast<const char*>(arrived.payload.data()), arrived.payload.size());
        types.push_back(arrived.header.type);
        truncated += arrived.truncated ? 1 : 0;
        for (auto& each : arrived.descriptors) {
            descriptors.push_back(std::move(each));
        }
        if (on_each) {
            on_each(arrived);
        }
    }
    void on_channel_drained() override {
        ++drained;
        if (on_drained) {
            on_drained();
        }
    }
    void on_channel_end() override { ++ended; }
    void on_violation(cluster::errc what) override { violations.push_back(what); }
};

} // namespace cluster_test

#endif // CLUSTER_TESTS_SUPPORT_CHANNEL_END_HPP
