// SPDX-License-Identifier: MIT
#ifndef CLUSTER_ADAPTERS_DETAIL_REDIS_CORE_HPP
#define CLUSTER_ADAPTERS_DETAIL_REDIS_CORE_HPP

#include "../../bus/concept.hpp"
#include "../../bus/detail/numbered_inbox.hpp"
#include "../../byte_buffer.hpp"
#include "../../detail/lifetime.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "../redis_options.hpp"
#include "redis_link.hpp"
#include "redis_streams.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// One connection publishes, one listens, and with streams a third one waits for entries. They come
/// and go together. A connection that is half open is found by a probe: what the first publishes to
/// this node alone must come back by the second.
class redis_core final : public numbered_inbox {
public:
    static constexpr std::size_t max_payload = 8 * 1024 * 1024;

    redis_core(redis_options options, bool streams)
        : numbered_inbox{options.node, max_payload, streams},
          options_{std::move(options)},
          streams_on_{streams},
          all_{options_.prefix + ":all:"},
          direct_{direct_to(node())},
          probe_{options_.prefix + ":probe:" + node() + ':' + std::to_string(instance())},
          commands_{loop(), on_closed()},
          listener_{loop(), on_closed()},
          streams_{loop(),
                   on_closed(),
                   options_.prefix + ":stream:",
                   options_.keep_alive,
                   [this](std::string_view subject, std::span<const std::byte> bytes) {
                       receive(streams_.key_of(subject), subject, bytes);
                   },
                   [this](std::error_code why, std::string_view text) { fail(why, text); }} {
        if (!valid_bus_name(options_.prefix)) {
            throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                                    "redis_bus: the prefix");
        }
        listener_.on_push([this](const redisReply& reply) { on_push(reply); });
        loop().defer([this] { connect(); });
    }
    ~redis_core() override {
        if (state_ == state::up) {
            commands_.flush(); // last words
        }
    }

    std::error_code
    send(const std::string_view* to, std::string_view subject, std::span<const std::byte> bytes) {
        outgoing made;
        made.stream = streams_on_ && to == nullptr;
        made.channel = made.stream     ? streams_.key_of(subject)
                       : to == nullptr ? all_ + std::string{subject}
                                       : direct_to(*to) + std::string{subject};
        put_numbered(made.channel, bytes, made.bytes);
        if (queued_ + made.weight() > options_.queue) {
            return errc::would_block;
        }
        gone(made.channel);
        queued_ += made.weight();
        outbox_.push_back(std::move(made));
        flush();
        return {};
    }

    [[nodiscard]] bool is_connected() const noexcept { return state_ == state::up; }

private:
    enum class state : std::uint8_t { down, connecting, up };

    struct outgoing {
        bool stream = false;
        std::string channel;
        byte_buffer bytes;
        [[nodiscard]] std::size_t weight() const noexcept { return bytes.size() + channel.size(); }
    };

    // With the length, since a name may have colons.
    [[nodiscard]] std::string direct_to(std::string_view who) const {
        return options_.prefix + ":to:" + std::to_string(who.size()) + ':' + std::string{who} + ':';
    }

    redis_link::closed_handler on_closed() {
        return [this](std::error_code why, std::string_view text) { fail(why, text); };
    }

    // ---- connecting ----

    void connect() {
        state_ = state::connecting;
        waited_for_ = streams_on_ ? 3 : 2;
        limit_ =
            loop().after(options_.timeout, [this] { fail(errc::request_timeout, "connecting"); });
        std::string text;
        if (auto error = open(commands_, text)) {
            return fail(error, text);
        }
        if (auto error = open(listener_, text)) {
            return fail(error, text);
        }
        greet(commands_, [this] {
            publishing_ = true;
            for_each_subject([this](const std::string& subject) { find_position(subject); });
            step_done();
        });
        greet(listener_, [this] {
            listening_ = true;
            std::vector<std::string> channels{probe_};
            for_each_subject([&](const std::string& subject) { add_channels(subject, channels); });
            waited_for_ += static_cast<int>(channels.size()) - 1; // this step is theirs
            subscribe_to("SUBSCRIBE", channels);
        });
        if (streams_on_) {
            if (auto error = open(streams_.link(), text)) {
                return fail(error, text);
            }
            greet(streams_.link(), [this] { streams_.start([this] { step_done(); }); });
        }
    }

    std::error_code open(redis_link& link, std::string& text) {
        return link.open(options_.host, options_.port, options_.path, text);
    }

    // `then` when the server lets us in and answers.
    template <typename F>
    void greet(redis_link& link, F then) {
        auto refused = [this](const redisReply& reply) {
            if (reply.type == REDIS_REPLY_ERROR) {
                fail(std::make_error_code(std::errc::permission_denied), text_of(reply));
            }
        };
        if (!options_.password.empty()) {
            if (options_.username.empty()) {
                link.command({"AUTH", options_.password}, refused);
            } else {
                link.command({"AUTH", options_.username, options_.password}, refused);
            }
        }
        if (options_.database != 0) {
            link.command({"SELECT", std::to_string(options_.database)}, refused);
        }
        link.command({"PING"},
                     [this, refused, then = std::move(then)](const redisReply& reply) mutable {
                         refused(reply);
                         if (!failing_ && reply.type != REDIS_REPLY_ERROR) {
                             then();
                         }
                     });
    }

    void step_done() {
        if (state_ == state::connecting && --waited_for_ == 0) {
            limit_.cancel();
            state_ = state::up;
            delay_ = {};
            told_ = false;
            probe_out_ = false;
            watch_ = loop().every(options_.keep_alive, [this] { look_after(); });
            tell({.what = bus_change::connected});
            flush();
        }
    }

    void fail(std::error_code why, std::string_view text) {
        if (state_ != state::down && !std::exchange(failing_, true)) {
            loop().defer(
                alive_.guard([this, why, text = std::string{text}] { go_down(why, text); }));
        }
    }

    void go_down(std::error_code why, const std::string& text) {
        failing_ = false;
        listening_ = false;
        publishing_ = false;
        limit_.cancel();
        watch_.cancel();
        commands_.close();
        listener_.close();
        streams_.close();
        state_ = state::down;
        if (!std::exchange(told_, true)) {
            tell({.what = bus_change::disconnected, .why = why, .text = text});
        }
        give_up_sent(why);
        auto most = options_.backoff_limit;
        delay_ = delay_.count() == 0 ? options_.backoff : std::min(delay_ * 2, most);
        auto jitter = delay_ * static_cast<int>(os::random_seed() % 256) / 1024;
        loop().after(delay_ - jitter, [this] { connect(); });
    }

    // ---- what goes out ----

    void flush() {
        while (state_ == state::up && !failing_ && sent_ != outbox_.size()) {
            const auto& next = outbox_[sent_++];
            std::string_view bytes{reinterpret_cast<const char*>(next.bytes.data()),
                                   next.bytes.size()};
            auto answered = [this](const redisReply& reply) { on_sent(reply); };
            if (next.stream) {
                auto length = std::to_string(options_.stream_length);
                commands_.command({"XADD", next.channel, "MAXLEN", "~", length, "*", "m", bytes},
                                  answered);
            } else {
                commands_.command({"PUBLISH", next.channel, bytes}, answered);
            }
        }
    }

    void on_sent(const redisReply& reply) {
        queued_ -= outbox_.front().weight();
        outbox_.pop_front();
        --sent_;
        if (reply.type == REDIS_REPLY_ERROR) {
            tell({.what = bus_change::lost,
                  .why = errc::request_failed,
                  .count = 1,
                  .text = text_of(reply)});
        }
    }

    // Nobody knows whether what was on its way has arrived. An entry of a stream is sent again, and
    // who has it sees that by its number; other messages are sent once at most.
    void give_up_sent(std::error_code why) {
        std::uint64_t lost = 0;
        for (std::size_t i = 0; i != sent_;) {
            auto at = outbox_.begin() + static_cast<std::ptrdiff_t>(i);
            if (at->stream) {
                ++i;
            } else {
                queued_ -= at->weight();
                outbox_.erase(at);
                --sent_;
                ++lost;
            }
        }
        sent_ = 0;
        if (lost != 0) {
            tell({.what = bus_change::lost, .why = why, .count = lost});
        }
    }

    // ---- what comes in ----

    void on_subscribed(const std::string& subject) override {
        if (listening_) {
            std::vector<std::string> channels;
            add_channels(subject, channels);
            waited_for_ += state_ == state::connecting ? static_cast<int>(channels.size()) : 0;
            subscribe_to("SUBSCRIBE", channels);
        }
        if (publishing_) {
            find_position(subject);
        }
    }
    void on_unsubscribed(const std::string& subject) noexcept override {
        streams_.forget(subject);
        if (listening_) {
            std::vector<std::string> channels;
            add_channels(subject, channels);
            subscribe_to("UNSUBSCRIBE", channels);
        }
    }

    void add_channels(const std::string& subject, std::vector<std::string>& channels) const {
        channels.push_back(direct_ + subject);
        if (!streams_on_) {
            channels.push_back(all_ + subject);
        }
    }
    void subscribe_to(std::string_view command, const std::vector<std::string>& channels) {
        std::vector<std::string_view> words{command};
        words.insert(words.end(), channels.begin(), channels.end());
        listener_.subscribe(words);
    }
    void find_position(const std::string& subject) {
        if (streams_on_) {
            bool counts = state_ == state::connecting;
            waited_for_ += counts ? 1 : 0;
            streams_.find_position(commands_, subject, [this, counts] {
                if (counts) {
                    step_done();
                }
            });
        }
    }

    void on_push(const redisReply& reply) {
        auto parts = elements_of(reply);
        if (parts.size() != 3) {
            return;
        }
        auto kind = text_of(*parts[0]);
        auto channel = text_of(*parts[1]);
        if (kind == "subscribe") {
            step_done();
        } else if (kind == "message" && channel == probe_) {
            probe_out_ = false;
        } else if (kind == "message") {
            for (const auto& prefix : {all_, direct_}) {
                if (channel.starts_with(prefix)) {
                    receive(channel,
                            channel.substr(prefix.size()),
                            std::as_bytes(std::span{text_of(*parts[2])}));
                    return;
                }
            }
        }
    }

    void look_after() {
        auto now = loop().now();
        if ((probe_out_ && now - probed_ >= options_.timeout) ||
            (streams_on_ && streams_.is_late(now, options_.timeout))) {
            fail(errc::request_timeout, "the server is silent");
        } else if (!probe_out_) {
            probe_out_ = true;
            probed_ = now;
            commands_.command({"PUBLISH", probe_, "?"}, {});
        }
    }

    redis_options options_;
    bool streams_on_;
    std::string all_;
    std::string direct_;
    std::string probe_;
    state state_ = state::down;
    bool failing_ = false;
    bool listening_ = false;  // the listener is let in
    bool publishing_ = false; // and so is the other one
    bool told_ = false;       // that we are cut off
    bool probe_out_ = false;
    int waited_for_ = 0; // steps until we are connected
    std::chrono::steady_clock::time_point probed_;
    std::chrono::nanoseconds delay_{};
    timer limit_;
    timer watch_;
    std::deque<outgoing> outbox_; // the first `sent_` are on their way
    std::size_t sent_ = 0;
    std::size_t queued_ = 0; // bytes in it
    redis_link commands_;
    redis_link listener_;
    redis_streams streams_;
    lifetime alive_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_ADAPTERS_DETAIL_REDIS_CORE_HPP
