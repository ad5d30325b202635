// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_SELF_SHARING_HPP
#define CLUSTER_DETAIL_SELF_SHARING_HPP

#include "memory.hpp"
#include "self_core.hpp"

#include <cstddef>
#include <system_error>

namespace cluster {
inline namespace v0 {
namespace detail {

// Blocks for the primary's answer; what else arrives meanwhile is delivered later, in order.
inline std::shared_ptr<shared_region> self_core::open_region(const share_message& asked,
                                                             std::error_code& error) {
    std::shared_ptr<shared_region> region;
    auto query = next_query_++;
    error = errc::channel_closed;
    if (!channel_.can_send()) {
        return region;
    }
    channel_.send(
        {0, frame_kind::share, 0, 0, query},
        [&](byte_buffer& out) { encode_wire(asked, out); },
        {},
        {},
        true);
    channel_.wait(
        [&](const frame_header& header) {
            return header.kind == frame_kind::share_result && header.sequence == query;
        },
        [&](frame& arrived) {
            share_result_message result;
            if (!decode_wire(arrived.payload, result)) {
                error = errc::bad_frame;
                return;
            }
            error = error_of(result);
            if (!error && arrived.descriptors.empty()) {
                error = errc::descriptor_truncated;
            }
            if (!error) {
                region = shared_region::open(arrived.descriptors.front().get(),
                                             static_cast<std::size_t>(asked.bytes),
                                             error);
            }
        });
    return region;
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_SELF_SHARING_HPP
