// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_PRIMARY_SHARING_HPP
#define CLUSTER_DETAIL_PRIMARY_SHARING_HPP

#include "primary_core.hpp"

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
        if (const auto* found = regions_.find_or_create(asked, error)) {
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

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_PRIMARY_SHARING_HPP
