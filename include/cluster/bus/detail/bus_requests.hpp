// SPDX-License-Identifier: MIT
#ifndef CLUSTER_BUS_DETAIL_BUS_REQUESTS_HPP
#define CLUSTER_BUS_DETAIL_BUS_REQUESTS_HPP

#include "../../detail/algorithm.hpp"
#include "../../detail/chrono.hpp"
#include "../../detail/hash_map.hpp"
#include "../../detail/memory.hpp"
#include "../../detail/os.hpp"
#include "../../detail/type_name.hpp"
#include "../../error.hpp"
#include "../../event_loop.hpp"
#include "../answers.hpp"

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

/// Requests to one node or to many that wait for their answers.
template <typename Serializer>
class bus_requests {
public:
    explicit bus_requests(event_loop& loop) noexcept : loop_{loop} {}
    bus_requests(bus_requests&&) = delete;
    ~bus_requests() {
        for (auto& each : waiting_) {
            each.value->deadline.cancel();
        }
    }

    /// `done(bus_answers<Reply>)` is called once. `asked`: who is known to be asked; `only` one of
    /// them: nobody else may answer.
    template <typename Reply, typename F>
    std::uint64_t add(std::size_t expected,
                      std::vector<std::string> asked,
                      bool only,
                      std::chrono::nanoseconds timeout,
                      F&& done) {
        auto id = next_++;
        auto entry = std::make_unique<waiting<Reply, std::decay_t<F>>>(std::forward<F>(done));
        entry->expected = expected;
        entry->asked = std::move(asked);
        entry->only = only;
        entry->deadline = loop_.after(timeout, [this, id] { end(id, errc::request_timeout); });
        waiting_[id] = std::move(entry);
        return id;
    }

    void on_reply(std::uint64_t id,
                  std::string_view node,
                  std::uint32_t type,
                  std::span<const std::byte> payload) {
        if (auto* entry = find(id, node)) {
            entry->reply(node, type, payload);
            finish(id, *entry);
        }
    }
    void on_failure(std::uint64_t id, std::string_view node, errc why, std::string_view text) {
        if (auto* entry = find(id, node)) {
            entry->fail(node, make_error_code(why), text);
            finish(id, *entry);
        }
    }
    /// It could not be sent, or there is nobody to wait for: told later.
    void give_up(std::uint64_t id, std::error_code why) {
        if (auto entry = take(id)) {
            loop_.defer([entry = std::move(entry), why] { entry->end(why); });
        }
    }

private:
    struct waiting_base {
        virtual ~waiting_base() = default;
        virtual void
        reply(std::string_view node, std::uint32_t type, std::span<const std::byte> payload) = 0;
        virtual void fail(std::string_view node, std::error_code why, std::string_view text) = 0;
        virtual void end(std::error_code why) = 0;
        std::size_t expected = 0;
        std::vector<std::string> asked;
        std::vector<std::string> answered;
        bool only = false;
        timer deadline;
    };

    template <typename Reply, typename F>
    struct waiting final : waiting_base {
        explicit waiting(F f) : done{std::move(f)} {}
        void reply(std::string_view node,
                   std::uint32_t type,
                   std::span<const std::byte> payload) override {
            Reply value{};
            std::error_code error = errc::bad_payload;
            if (type == message_id<Reply>()) {
                error = Serializer{}.decode(payload, value);
            }
            auto reply = error ? result<Reply>{error} : result<Reply>{std::move(value)};
            answers.answers.push_back({std::string{node}, std::move(reply)});
        }
        void fail(std::string_view node, std::error_code why, std::string_view text) override {
            answers.answers.push_back({std::string{node}, result<Reply>{why, std::string{text}}});
        }
        void end(std::error_code why) override {
            answers.expected = this->expected;
            answers.error = why;
            done(std::move(answers));
        }
        F done;
        bus_answers<Reply> answers;
    };

    // A node answers once.
    waiting_base* find(std::uint64_t id, std::string_view node) {
        auto* found = waiting_.find(id);
        if (found == nullptr) {
            return nullptr; // late: nobody waits any more
        }
        auto& entry = **found;
        if (contains(entry.answered, node) || (entry.only && !contains(entry.asked, node))) {
            return nullptr;
        }
        entry.answered.emplace_back(node);
        return &entry;
    }

    void finish(std::uint64_t id, waiting_base& entry) {
        if (entry.answered.size() >= entry.expected) {
            take(id)->end({});
        }
    }

    void end(std::uint64_t id, errc why) {
        if (auto entry = take(id)) {
            for (const auto& each : entry->asked) {
                if (!contains(entry->answered, each)) {
                    entry->fail(each, make_error_code(why), {});
                }
            }
            entry->end({});
        }
    }

    std::unique_ptr<waiting_base> take(std::uint64_t id) {
        auto* found = waiting_.find(id);
        if (found == nullptr) {
            return nullptr;
        }
        auto entry = std::move(*found);
        waiting_.erase(id);
        entry->deadline.cancel();
        return entry;
    }

    event_loop& loop_;
    number_map<std::unique_ptr<waiting_base>> waiting_;
    std::uint64_t next_ =
        os::random_seed(); // an answer to a predecessor of the same name fits none
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_BUS_DETAIL_BUS_REQUESTS_HPP
