// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_UNIX_CORE_HPP
#define CLUSTER_BUS_DETAIL_UNIX_CORE_HPP

#include "../../byte_buffer.hpp"
#include "../../detail/algorithm.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "../../ipc/channel.hpp"
#include "../../ipc/frame.hpp"
#include "../../unique_fd.hpp"
#include "../concept.hpp"
#include "../unix_bus_options.hpp"
#include "numbered_inbox.hpp"
#include "unix_frame.hpp"
#include "unix_hub.hpp"
#include "unix_meeting.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A node of a unix_bus: the hub, connected to it, or on its way to either.
class unix_core final : public numbered_inbox, private channel_owner, private unix_hub_owner {
public:
    static constexpr std::size_t max_payload = unix_max_payload;

    explicit unix_core(unix_bus_options options)
        : numbered_inbox{options.node, max_payload, false},
          options_{std::move(options)},
          meeting_{options_.path, options_.mode, options_.users} {
        auto error =
            options_.path.empty() ? std::make_error_code(std::errc::invalid_argument) : meet();
        if (error && error != std::errc::operation_would_block) {
            throw std::system_error(error, "unix_bus: " + options_.path);
        }
        if (error) {
            try_again();
        }
        watch_ = loop().every(period(), [this] { look_after(); });
    }
    ~unix_core() override {
        if (link_) {
            link_->flush(); // last words
        }
        if (hub_) {
            meeting_.leave();
        }
    }

    std::error_code
    send(const std::string_view* to, std::string_view subject, std::span<const std::byte> payload) {
        auto channel = to == nullptr ? std::string_view{} : *to;
        byte_buffer letter;
        put_address(channel, subject, letter);
        put_numbered(channel, payload, letter);
        if (!up_ || (link_ && !link_->can_send())) { // as soon as a write has failed
            if (queued_ != 0 && queued_ + letter.size() > options_.queue) {
                return errc::would_block;
            }
            queued_ += letter.size();
            outbox_.push_back(std::move(letter));
        } else if (!post(letter.span())) {
            return errc::would_block;
        }
        gone(channel);
        return {};
    }

    [[nodiscard]] bool is_connected() const noexcept { return up_; }
    [[nodiscard]] bool is_hub() const noexcept { return up_ && hub_; }

private:
    static constexpr std::chrono::milliseconds first_pause{5};
    static constexpr std::chrono::milliseconds longest_pause{500};

    [[nodiscard]] std::chrono::nanoseconds period() const noexcept {
        return max<std::chrono::nanoseconds>(options_.timeout / 4, first_pause);
    }

    // ---- finding the hub, or becoming it ----

    std::error_code meet() {
        unique_fd hub;
        unique_fd listening;
        if (auto error = meeting_.meet(hub, listening)) {
            return error;
        }
        return hub ? follow(std::move(hub)) : lead(std::move(listening));
    }

    std::error_code follow(unique_fd hub) {
        link_ = std::make_unique<channel>(
            loop(), static_cast<channel_owner&>(*this), direction::to_worker);
        if (auto error = link_->open(std::move(hub))) {
            link_.reset();
            return error;
        }
        heard_ = loop().now();
        byte_buffer hello;
        *hello.extend(1) = std::byte{unix_bus_version};
        hello.append(node().data(), node().size());
        say(*link_, unix_word::hello, hello.span());
        return {};
    }

    // What is said before the others have found the new hub, they miss: it waits for them.
    std::error_code lead(unique_fd listening) {
        hub_ = std::make_unique<unix_hub>(loop(),
                                          static_cast<unix_hub_owner&>(*this),
                                          std::move(listening),
                                          options_.queue,
                                          others_);
        if (auto error = hub_->listen()) {
            hub_.reset();
            return error;
        }
        if (others_ != 0) {
            next_ = loop().after(period(), [this] { come_up(); });
        } else {
            come_up();
        }
        return {};
    }
    void on_gathered() override {
        if (!up_ && !failing_) {
            next_.cancel();
            come_up();
        }
    }

    void come_up() {
        if (hub_) {
            hub_->open();
        }
        up_ = true;
        told_ = false;
        pause_ = {};
        tell({.what = bus_change::connected});
        for (const auto& each : std::exchange(outbox_, {})) {
            post(each.span());
        }
        queued_ = 0;
    }

    // From anywhere: also from inside a call of the channel that ends.
    void fail(std::error_code why, std::string_view text) {
        up_ = false;
        if (!std::exchange(failing_, true)) {
            loop().defer([this, why, text] { go_down(why, text); });
        }
    }
    void go_down(std::error_code why, std::string_view text) {
        failing_ = up_ = false;
        next_.cancel();
        others_ = hub_ ? hub_->nodes() - 1 : others_;
        link_.reset();
        hub_.reset();
        tell_down(why, text);
        try_again();
    }
    void tell_down(std::error_code why, std::string_view text) {
        if (!std::exchange(told_, true)) {
            tell({.what = bus_change::disconnected, .why = why, .text = text});
        }
    }

    // At once when there was a hub, then more and more seldom, and not all at the same time.
    void try_again() {
        auto jitter = pause_ * static_cast<int>(os::random_seed() % 256) / 512;
        next_ = loop().after(pause_ - jitter, [this] {
            auto error = meet();
            if (error && error != std::errc::operation_would_block) {
                tell_down(error, options_.path);
            }
            if (error) {
                try_again();
            }
        });
        pause_ = min<std::chrono::nanoseconds>(
            max<std::chrono::nanoseconds>(first_pause, 2 * pause_), longest_pause);
    }

    void look_after() {
        if (failing_) {
            return;
        }
        if (hub_) {
            hub_->beat(options_.timeout);
            if (!meeting_.is_ours()) { // we were stopped for too long, or the file was removed
                fail(errc::channel_closed, "another hub has taken over");
            }
        } else if (link_ && loop().now() - heard_ > options_.timeout && !link_->has_input()) {
            meeting_.depose();
            fail(errc::request_timeout, "the hub is silent");
        }
    }

    // ---- letters ----

    // \returns false when there is no room for it now.
    bool post(std::span<const std::byte> letter) {
        if (hub_) {
            unix_letter address;
            decode_letter(letter, address);
            hub_->post(address, letter);
            return true;
        }
        return pass_letter(*link_, letter, options_.queue);
    }

    // ---- as a node of another's hub ----

    void on_frame(frame& arrived) override {
        heard_ = loop().now();
        unix_letter letter;
        auto word = static_cast<unix_word>(arrived.header.type);
        if (arrived.header.kind != frame_kind::post) {
            fail(errc::bad_frame, "the hub");
        } else if (word == unix_word::letter && decode_letter(arrived.payload, letter)) {
            on_letter(letter);
        } else if (word == unix_word::refused && arrived.payload.size() == 1) {
            fail(error_of(static_cast<unix_refusal>(arrived.payload[0])), node());
        } else if ((word == unix_word::welcome || word == unix_word::beat) &&
                   arrived.payload.size() == 4) {
            constexpr std::uint32_t us_and_the_hub = 2;
            auto nodes = load_little_endian<std::uint32_t>(arrived.payload.data());
            others_ = max<std::uint32_t>(nodes, us_and_the_hub) - us_and_the_hub;
            if (word == unix_word::welcome && !up_ && !failing_) {
                come_up();
            }
        } else {
            fail(errc::bad_frame, "the hub");
        }
    }
    void on_channel_drained() override {}
    void on_channel_end() override { fail(errc::channel_closed, "the hub is gone"); }
    void on_violation(errc what) override { fail(what, "the hub"); }

    // ---- as the hub ----

    [[nodiscard]] bool may_connect(std::uint32_t user) const noexcept override {
        return meeting_.trusts(user);
    }
    [[nodiscard]] std::string_view hub_name() const noexcept override { return node(); }
    void on_letter(const unix_letter& arrived) override {
        receive(arrived.to, arrived.subject, arrived.envelope);
    }
    void on_expelled(std::string_view name, std::error_code why) override {
        tell({.what = bus_change::bad_message, .why = why, .node = name, .count = 1});
    }

    unix_bus_options options_;
    unix_meeting meeting_;
    std::unique_ptr<channel> link_; // to the hub,
    std::unique_ptr<unix_hub> hub_; // or we are it
    bool up_ = false;
    bool failing_ = false;
    bool told_ = false;      // that we are cut off
    std::size_t others_ = 0; // who will come if we take over
    time_point heard_{};     // from the hub
    std::chrono::nanoseconds pause_{};
    timer next_;
    timer watch_;
    std::vector<byte_buffer> outbox_; // while there is no hub
    std::size_t queued_ = 0;          // bytes in it
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_UNIX_CORE_HPP
