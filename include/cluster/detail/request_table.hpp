// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_REQUEST_TABLE_HPP
#define CLUSTER_DETAIL_REQUEST_TABLE_HPP

#include "../error.hpp"
#include "../event_loop.hpp"
#include "../ipc/frame.hpp"
#include "../result.hpp"
#include "../serialization/concept.hpp"
#include "chrono.hpp"
#include "memory.hpp"
#include "type_name.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// Requests that wait for their answer.
template <typename Serializer>
class request_table {
public:
    explicit request_table(event_loop& loop) noexcept : loop_{loop} {}
    ~request_table() {
        for (auto& each : waiting_) {
            each->deadline.cancel();
        }
    }
    request_table(request_table&&) = delete;
    request_table& operator=(request_table&&) = delete;

    template <typename Reply, typename F>
    std::uint32_t add(std::chrono::nanoseconds timeout, F&& done) {
        auto sequence = next_++;
        auto entry = std::make_unique<waiting<Reply, std::decay_t<F>>>(std::forward<F>(done));
        entry->sequence = sequence;
        entry->deadline =
            loop_.after(timeout, [this, sequence] { fail(sequence, errc::request_timeout, {}); });
        waiting_.push_back(std::move(entry));
        return sequence;
    }

    void on_reply(const frame& arrived) {
        if (auto entry = take(arrived.header.sequence)) { // else late: nobody waits any more
            entry->reply(arrived.header.type, arrived.payload);
        }
    }
    void on_failure(const frame& arrived) {
        auto bytes = arrived.payload;
        fail(arrived.header.sequence,
             errc::request_failed,
             {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    void fail(std::uint32_t sequence, errc why, std::string text) {
        if (auto entry = take(sequence)) {
            entry->fail(make_error_code(why), std::move(text));
        }
    }
    /// Nobody will answer any more: each caller is told, one a turn's task.
    void fail_all(errc why) {
        for (auto& each : std::exchange(waiting_, {})) {
            each->deadline.cancel();
            loop_.defer([entry = std::move(each), why] { entry->fail(make_error_code(why), {}); });
        }
    }

private:
    struct waiting_base {
        virtual ~waiting_base() = default;
        virtual void reply(std::uint32_t type, std::span<const std::byte> payload) = 0;
        virtual void fail(std::error_code why, std::string text) = 0;
        std::uint32_t sequence = 0;
        timer deadline;
    };

    template <typename Reply, typename F>
    struct waiting final : waiting_base {
        explicit waiting(F f) : done{std::move(f)} {}
        void reply(std::uint32_t type, std::span<const std::byte> payload) override {
            Reply value{};
            std::error_code error = make_error_code(errc::bad_payload);
            if (type == message_id<Reply>()) {
                error = Serializer{}.decode(payload, value);
            }
            error ? done(result<Reply>{error}) : done(result<Reply>{std::move(value)});
        }
        void fail(std::error_code why, std::string text) override {
            done(result<Reply>{why, std::move(text)});
        }
        F done;
    };

    std::unique_ptr<waiting_base> take(std::uint32_t sequence) {
        for (std::size_t i = 0; i != waiting_.size(); ++i) {
            if (waiting_[i]->sequence == sequence) {
                auto entry = std::move(waiting_[i]);
                waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
                entry->deadline.cancel();
                return entry;
            }
        }
        return nullptr;
    }

    event_loop& loop_;
    std::vector<std::unique_ptr<waiting_base>> waiting_;
    std::uint32_t next_ = 1;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_REQUEST_TABLE_HPP
