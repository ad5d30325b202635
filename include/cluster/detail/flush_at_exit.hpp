// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_FLUSH_AT_EXIT_HPP
#define CLUSTER_DETAIL_FLUSH_AT_EXIT_HPP

#include "../ipc/channel.hpp"
#include "chrono.hpp"

namespace cluster {
inline namespace v0 {
namespace detail {

/// What a worker sent before it ended is not lost: when the worker calls std::exit() in a handler,
/// nothing else on its stack is destroyed, so the channel is flushed with the static objects. A
/// worker is a process that exists for its channel, so this is no liberty with the host's state.
class flush_at_exit {
public:
    /// `own_process`: else it is one thread of many, which does not speak for std::exit().
    flush_at_exit(channel& of, bool own_process) noexcept : channel_{of} {
        if (own_process) {
            last().current = this;
            registered_ = true;
        }
    }
    ~flush_at_exit() {
        flush();
        if (registered_ && last().current == this) {
            last().current = nullptr;
        }
    }
    /// Registers with std::exit() what the first one would: once for all copies of this process.
    static void prepare() { last(); }

    flush_at_exit(flush_at_exit&&) = delete;
    flush_at_exit& operator=(flush_at_exit&&) = delete;

private:
    struct registration {
        flush_at_exit* current = nullptr;
        ~registration() {
            if (current != nullptr) {
                current->flush();
            }
        }
    };

    static registration& last() {
        static registration instance;
        return instance;
    }

    void flush() noexcept { channel_.flush_blocking(std::chrono::seconds{30}); }

    channel& channel_;
    bool registered_ = false;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_FLUSH_AT_EXIT_HPP
