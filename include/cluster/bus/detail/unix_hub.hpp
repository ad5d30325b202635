// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_UNIX_HUB_HPP
#define CLUSTER_BUS_DETAIL_UNIX_HUB_HPP

#include "../../detail/accept_pressure.hpp"
#include "../../detail/algorithm.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/lifetime.hpp"
#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "../../ipc/channel.hpp"
#include "../../ipc/frame.hpp"
#include "../../unique_fd.hpp"
#include "../concept.hpp"
#include "bus_envelope.hpp"
#include "unix_frame.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// The node that is the hub.
class unix_hub_owner {
public:
    [[nodiscard]] virtual bool may_connect(std::uint32_t user) const noexcept = 0;
    [[nodiscard]] virtual std::string_view hub_name() const noexcept = 0;
    /// A letter that is for this node, too.
    virtual void on_letter(const unix_letter& arrived) = 0;
    /// Somebody broke a rule, and is thrown out; the name is empty before it was told.
    virtual void on_expelled(std::string_view name, std::error_code why) = 0;
    /// As many have come as were expected.
    virtual void on_gathered() = 0;

protected:
    ~unix_hub_owner() = default;
};

/// The other nodes of a unix_bus, at the one that passes their letters on. A node that takes nothing
/// has a queue, and misses what does not fit into it; it keeps nobody else waiting.
class unix_hub {
public:
    static constexpr std::size_t most_nodes = 4096;

    /// Lets nobody take part before open(). `expected`: how many are about to come.
    unix_hub(event_loop& loop,
             unix_hub_owner& owner,
             unique_fd listening,
             std::size_t queue,
             std::size_t expected)
        : loop_{loop},
          owner_{owner},
          queue_{queue},
          expected_{expected},
          listening_{std::move(listening)} {}
    unix_hub(unix_hub&&) = delete;
    unix_hub& operator=(unix_hub&&) = delete;
    /// What waits leaves now, as far as that is possible at once.
    ~unix_hub() {
        pause_.cancel();
        for (const auto& each : peers_) {
            each->link.flush();
        }
    }

    std::error_code listen() {
        return watch_.start<&unix_hub::on_connections>(
            loop_, listening_.get(), os::io::readable, *this);
    }

    /// All who have come so far take part from now on, and the others as they come.
    void open() {
        open_ = true;
        tell_all(unix_word::welcome);
    }

    /// That take part, the hub among them.
    [[nodiscard]] std::size_t nodes() const noexcept {
        return 1 + count_if(peers_, [](const auto& each) { return !each->name.empty(); });
    }

    /// Passes on what this node has written.
    void post(const unix_letter& letter, std::span<const std::byte> bytes) {
        pass_on(nullptr, letter, bytes);
    }

    /// Says that the hub lives to those who have nothing else to hear, and sends away who does not
    /// say who he is.
    void beat(std::chrono::nanoseconds patience) {
        auto now = loop_.now();
        for (const auto& each : peers_) {
            if (!each->name.empty()) {
                each->link.queued() == 0 ? tell(*each, unix_word::beat) : void();
            } else if (each->link.is_open() && now - each->since > patience) {
                expel(*each, errc::request_timeout);
            }
        }
    }

private:
    struct peer final : channel_owner {
        explicit peer(unix_hub& of) : hub{of}, link{of.loop_, *this, direction::to_primary} {}

        void on_frame(frame& arrived) override { hub.on_frame(*this, arrived); }
        void on_channel_drained() override {}
        void on_channel_end() override { hub.drop(*this); }
        void on_violation(errc what) override { hub.expel(*this, what); }

        unix_hub& hub;
        std::string name; // none before its hello
        time_point since = hub.loop_.now();
        channel link;
    };

    void on_connections(os::io) {
        for (int budget = 64; budget != 0; --budget) {
            unique_fd accepted = os::accept_from(listening_.get());
            if (!accepted) {
                auto failure = os::classify_accept_error(errno);
                if (failure == os::accept_failure::this_connection) {
                    continue;
                }
                if (failure != os::accept_failure::none_waiting) {
                    rest();
                }
                return;
            }
            pressure_.succeeded();
            if (owner_.may_connect(os::peer_user(accepted.get()))) {
                admit(std::move(accepted));
            } else {
                owner_.on_expelled({}, std::make_error_code(std::errc::permission_denied));
            }
        }
    }

    // It stays readable while there is no descriptor to be had.
    void rest() {
        watch_.stop();
        pause_.cancel();
        pause_ = loop_.after(pressure_.next_pause(), [this] { listen(); });
    }

    void admit(unique_fd accepted) {
        auto one = std::make_unique<peer>(*this);
        if (!one->link.open(std::move(accepted))) {
            peers_.push_back(std::move(one));
        }
    }

    void on_frame(peer& from, const frame& arrived) {
        auto word = static_cast<unix_word>(arrived.header.type);
        bool good =
            arrived.header.kind == frame_kind::post &&
            (from.name.empty() ? word == unix_word::hello && on_hello(from, arrived.payload)
                               : word == unix_word::letter && on_letter(from, arrived.payload));
        if (!good) {
            expel(from, errc::bad_frame);
        }
    }

    bool on_hello(peer& from, std::span<const std::byte> said) {
        if (said.empty()) {
            return false;
        }
        std::string_view name{reinterpret_cast<const char*>(said.data()) + 1, said.size() - 1};
        if (said[0] != std::byte{unix_bus_version}) {
            refuse(from, unix_refusal::other_version);
        } else if (!valid_bus_name(name)) {
            return false;
        } else if (name == owner_.hub_name() || find(name) != nullptr) {
            refuse(from, unix_refusal::name_is_taken);
        } else if (peers_.size() > most_nodes) {
            refuse(from, unix_refusal::no_room);
        } else {
            from.name = name;
            open_ ? tell(from, unix_word::welcome) : void();
            number_changed();
        }
        return true;
    }

    void tell(peer& who, unix_word word) { say_count(who.link, word, nodes()); }
    void tell_all(unix_word word) {
        const auto count = nodes();
        for (const auto& each : peers_) {
            each->name.empty() ? void() : say_count(each->link, word, count);
        }
    }
    // So that whoever takes over knows whom to wait for.
    void number_changed() {
        if (!std::exchange(counting_, true)) {
            loop_.defer(alive_.guard([this] {
                counting_ = false;
                if (open_) {
                    tell_all(unix_word::beat);
                } else if (nodes() > expected_) {
                    owner_.on_gathered();
                }
            }));
        }
    }

    bool on_letter(const peer& from, std::span<const std::byte> bytes) {
        unix_letter letter;
        bus_envelope envelope;
        if (!decode_letter(bytes, letter) || !decode_envelope(letter.envelope, envelope) ||
            envelope.node != from.name || envelope.payload.size() > unix_max_payload) {
            return false;
        }
        if (letter.to.empty() || letter.to == owner_.hub_name()) {
            owner_.on_letter(letter);
        }
        pass_on(&from, letter, bytes);
        return true;
    }

    void pass_on(const peer* from, const unix_letter& letter, std::span<const std::byte> bytes) {
        for (const auto& each : peers_) {
            if (each.get() != from && !each->name.empty() &&
                (letter.to.empty() || letter.to == each->name)) {
                pass_letter(each->link, bytes, queue_); // the next one tells it what it has missed
            }
        }
    }

    [[nodiscard]] peer* find(std::string_view name) noexcept {
        auto* found = find_if(peers_, [name](const auto& each) { return each->name == name; });
        return found == nullptr ? nullptr : found->get();
    }

    void refuse(peer& who, unix_refusal why) {
        auto code = static_cast<std::byte>(why);
        say(who.link, unix_word::refused, {&code, 1});
        who.link.flush();
        drop(who);
    }
    void expel(peer& who, std::error_code why) {
        owner_.on_expelled(who.name, why);
        drop(who);
    }

    // It may be in the middle of a call from its channel.
    void drop(peer& gone) {
        gone.link.close();
        if (!gone.name.empty()) {
            gone.name.clear();
            number_changed();
        }
        if (!std::exchange(sweeping_, true)) {
            loop_.defer(alive_.guard([this] {
                sweeping_ = false;
                detail::erase_if(peers_, [](const auto& each) { return !each->link.is_open(); });
            }));
        }
    }

    event_loop& loop_;
    unix_hub_owner& owner_;
    std::size_t queue_;
    std::size_t expected_;
    bool open_ = false;
    bool counting_ = false;
    bool sweeping_ = false;
    unique_fd listening_;
    io_watch watch_;
    accept_pressure pressure_;
    timer pause_;
    std::vector<std::unique_ptr<peer>> peers_;
    lifetime alive_;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_UNIX_HUB_HPP
