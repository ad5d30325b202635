// SPDX-License-Identifier: MIT
#ifndef CLUSTER_RESPONDER_HPP
#define CLUSTER_RESPONDER_HPP

#include "detail/reply_path.hpp"

#include <string_view>
#include <utility>

namespace cluster {
inline namespace v0 {
/// Answers a request later: what an on_request handler takes as its last parameter instead of
/// returning the answer. Move-only; dropping it unanswered is answered with a failure.
template <typename Reply, typename Serializer>
class basic_responder {
public:
    explicit basic_responder(detail::reply_path path) noexcept : path_{std::move(path)} {}
    basic_responder(basic_responder&&) noexcept = default;
    basic_responder& operator=(basic_responder&&) = delete;
    ~basic_responder() {
        if (path_.to.lock()) {
            detail::send_failure(path_, "the request was dropped");
        }
    }

    /// Once; later calls, and calls after the asking side has gone, do nothing.
    void operator()(const Reply& value) {
        detail::send_reply<Serializer>(path_, value);
        path_.to.reset();
    }
    /// The same with an error: the asking side gets `errc::request_failed` and the text.
    void fail(std::string_view why) {
        detail::send_failure(path_, why);
        path_.to.reset();
    }

private:
    detail::reply_path path_;
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_RESPONDER_HPP
