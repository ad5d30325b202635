// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_SHARING_HPP
#define CLUSTER_DETAIL_PRIMARY_SHARING_HPP

#include "primary_core.hpp"

#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

inline void primary_core::on_share(worker_core& from, const frame& arrived) {
    share_message asked;
    share_result_message result;
    std::error_code error = errc::bad_payload;
    descriptor_list memory;
    if (decode_wire(arrived.payload, asked)) {
        if (const auto* found =
                regions_.find_or_create(asked, region_table::asker::worker, error)) {
            memory = descriptor_list{std::vector<int>{found->descriptor.get()}};
        }
    }
    if (error) {
        set_error(result, error);
    }
    from.channel_.send(
        {0, frame_kind::share_result, 0, 0, arrived.header.sequence},
        [&](byte_buffer& out) { encode_wire(result, out); },
        std::move(memory),
        {},
        true);
}

inline void primary_core::on_broadcast(worker_core& from, const frame& arrived) {
    auto number = arrived.header.sequence;
    if (arrived.header.kind == frame_kind::leave) {
        hub_->on_leave(from.channel_, number);
    } else if (arrived.header.kind == frame_kind::post) {
        if (auto error = hub_->on_post(from.channel_, arrived)) {
            from.emit(event::error, error);
        }
    } else {
        std::string_view name{reinterpret_cast<const char*>(arrived.payload.data()),
                              arrived.payload.size()};
        if (!hub_->on_join(from.channel_, number, name)) {
            from.on_violation(errc::bad_frame);
        }
    }
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_SHARING_HPP
