// SPDX-License-Identifier: MIT
#ifndef CLUSTER_SEND_RESULT_HPP
#define CLUSTER_SEND_RESULT_HPP

namespace cluster {
inline namespace v0 {

/// What became of a message, or of a datagram.
enum class send_result {
    ok,     ///< on its way
    queued, ///< on its way, but the receiver is behind: send more at event::drain
    full,   ///< NOT sent: too much waits already; send it again at event::drain
    closed, ///< not sent: the channel, or the socket, is closed
};

} // namespace v0
} // namespace cluster

#endif // CLUSTER_SEND_RESULT_HPP
