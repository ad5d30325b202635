// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_REDIS_LINK_HPP
#define CLUSTER_ADAPTERS_DETAIL_REDIS_LINK_HPP

#include "../../detail/move_only_function.hpp"
#include "../../detail/os.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The text of a reply, if it is one.
inline std::string_view text_of(const redisReply& reply) noexcept {
    bool has = reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS ||
               reply.type == REDIS_REPLY_ERROR;
    return has ? std::string_view{reply.str, static_cast<std::size_t>(reply.len)}
               : std::string_view{};
}
inline std::span<redisReply* const> elements_of(const redisReply& reply) noexcept {
    return reply.type == REDIS_REPLY_ARRAY
               ? std::span<redisReply* const>{reply.element, reply.elements}
               : std::span<redisReply* const>{};
}

/// One connection of hiredis' asynchronous kind in a loop of ours. hiredis calls us back from within
/// its functions: such a handler must not close the connection, but may defer that.
class redis_link {
public:
    using reply_handler = move_only_function<void(const redisReply&)>;
    using closed_handler = move_only_function<void(std::error_code why, std::string_view text)>;
    using pushed_handler = move_only_function<void(const redisReply&)>;

    explicit redis_link(event_loop& loop, closed_handler closed)
        : loop_{loop}, closed_{std::move(closed)} {}
    redis_link(redis_link&&) = delete;
    ~redis_link() { close(); }

    /// Starts to connect: what is sent goes out when that is done. A name is looked up here and now.
    /// `path` first, if there is one.
    std::error_code
    open(const std::string& host, std::uint16_t port, const std::string& path, std::string& text) {
        close();
        auto* made = path.empty() ? redisAsyncConnect(host.c_str(), port)
                                  : redisAsyncConnectUnix(path.c_str());
        if (made == nullptr) {
            return std::make_error_code(std::errc::not_enough_memory);
        }
        auto error = error_of(*made, text);
        if (!error) {
            os::set_close_on_exec(made->c.fd);
            wanted_ = os::io::none;
            error = watch_.start<&redis_link::on_ready>(loop_, made->c.fd, wanted_, *this);
        }
        if (error) {
            redisAsyncFree(made);
            return error;
        }
        context_ = made;
        made->data = this;
        made->ev.data = this;
        made->ev.addRead = [](void* self) { of(self).want(os::io::readable, true); };
        made->ev.delRead = [](void* self) { of(self).want(os::io::readable, false); };
        made->ev.addWrite = [](void* self) { of(self).want(os::io::writable, true); };
        made->ev.delWrite = [](void* self) { of(self).want(os::io::writable, false); };
        made->ev.cleanup = [](void* self) { of(self).on_cleanup(); };
        redisAsyncSetConnectCallback(made, [](const redisAsyncContext* context, int status) {
            if (status != REDIS_OK) {
                of(context->data).note(*context);
            }
        });
        redisAsyncSetDisconnectCallback(made, [](const redisAsyncContext* context, int status) {
            if (status != REDIS_OK) {
                of(context->data).note(*context);
            }
        });
        return {};
    }

    /// Hands what was sent to the system now, as far as it takes it.
    void flush() noexcept {
        if (context_ != nullptr) {
            const os::pipe_signal_blocked guard;
            redisAsyncHandleWrite(context_);
        }
    }

    /// Closes without a word; no handler of a reply is called any more.
    void close() noexcept {
        if (context_ != nullptr) {
            closing_ = true;
            redisAsyncFree(context_);
            closing_ = false;
        }
        replies_.clear();
    }
    [[nodiscard]] bool is_open() const noexcept { return context_ != nullptr; }

    /// Sends a command, `handler` gets its reply. Nothing happens when the connection is gone.
    void command(std::span<const std::string_view> words, reply_handler handler) {
        if (context_ != nullptr &&
            send(words, [](redisAsyncContext* c, void* reply, void*) noexcept {
                of(c->data).on_reply(static_cast<const redisReply*>(reply));
            })) {
            replies_.push_back(std::move(handler));
        }
    }
    void command(std::initializer_list<std::string_view> words, reply_handler handler) {
        command(std::span{words.begin(), words.size()}, std::move(handler));
    }

    /// SUBSCRIBE and UNSUBSCRIBE, whose replies, and the messages, come to on_push().
    void subscribe(std::span<const std::string_view> words) {
        if (context_ != nullptr) {
            send(words, [](redisAsyncContext* c, void* reply, void*) noexcept {
                auto& self = of(c->data);
                if (reply != nullptr && self.pushed_) {
                    self.pushed_(*static_cast<const redisReply*>(reply));
                }
            });
        }
    }
    void on_push(pushed_handler handler) { pushed_ = std::move(handler); }

private:
    static redis_link& of(void* self) noexcept { return *static_cast<redis_link*>(self); }

    bool send(std::span<const std::string_view> words, redisCallbackFn* callback) {
        std::vector<const char*> texts;
        std::vector<std::size_t> sizes;
        for (auto each : words) {
            texts.push_back(each.data());
            sizes.push_back(each.size());
        }
        return redisAsyncCommandArgv(context_,
                                     callback,
                                     nullptr,
                                     static_cast<int>(words.size()),
                                     texts.data(),
                                     sizes.data()) == REDIS_OK;
    }

    void want(os::io what, bool on) noexcept {
        auto bits = static_cast<std::uint32_t>(wanted_);
        auto bit = static_cast<std::uint32_t>(what);
        wanted_ = static_cast<os::io>(on ? bits | bit : bits & ~bit);
        watch_.update(wanted_);
    }

    void on_ready(os::io what) {
        const os::pipe_signal_blocked guard; // hiredis writes without MSG_NOSIGNAL
        if (what & (os::io::readable | os::io::hangup)) {
            redisAsyncHandleRead(context_);
        }
        if (context_ != nullptr && what & os::io::writable) {
            redisAsyncHandleWrite(context_);
        }
    }

    void on_reply(const redisReply* reply) noexcept {
        if (closing_ || replies_.empty()) {
            return;
        }
        auto handler = std::move(replies_.front());
        replies_.pop_front();
        if (reply != nullptr && handler) {
            handler(*reply);
        }
    }

    // The context is about to be freed, by us or by hiredis.
    void on_cleanup() noexcept {
        auto error = std::error_code{errc::channel_closed};
        std::string text;
        if (noted_) {
            error = std::exchange(noted_, {});
            text = std::exchange(noted_text_, {});
        } else if (context_->err != 0) {
            error = error_of(*context_, text);
        }
        watch_.stop();
        context_ = nullptr;
        if (!closing_) {
            closed_(error, text);
        }
    }

    // hiredis puts errno's text beside its own code while it is still right.
    void note(const redisAsyncContext& context) noexcept {
        noted_ = error_of(context, noted_text_);
    }

    static std::error_code error_of(const redisAsyncContext& context, std::string& text) {
        if (context.err == 0) {
            return {};
        }
        text = context.errstr != nullptr ? context.errstr : "";
        switch (context.err) {
        case REDIS_ERR_EOF:
            return errc::channel_closed;
        case REDIS_ERR_PROTOCOL:
            return errc::bad_frame;
        case REDIS_ERR_OOM:
            return std::make_error_code(std::errc::not_enough_memory);
        default:
            return std::make_error_code(std::errc::not_connected);
        }
    }

    event_loop& loop_;
    closed_handler closed_;
    pushed_handler pushed_;
    redisAsyncContext* context_ = nullptr;
    std::deque<reply_handler> replies_;
    std::error_code noted_;
    std::string noted_text_;
    os::io wanted_ = os::io::none;
    bool closing_ = false;
    io_watch watch_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_REDIS_LINK_HPP
