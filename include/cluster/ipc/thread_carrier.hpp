// SPDX-License-Identifier: MIT
#ifndef CLUSTER_IPC_THREAD_CARRIER_HPP
#define CLUSTER_IPC_THREAD_CARRIER_HPP

#include "../byte_buffer.hpp"
#include "../detail/chrono.hpp"
#include "../detail/memory.hpp"
#include "../detail/moved_value.hpp"
#include "../detail/os.hpp"
#include "../detail/ring_queue.hpp"
#include "../unique_fd.hpp"
#include "carrier.hpp"

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {
namespace detail {

/// What passes between two threads at once: whole frames, and what belongs to them in their order.
struct thread_batch {
    byte_buffer bytes;
    ring_queue<std::vector<unique_fd>> descriptors;
    ring_queue<std::unique_ptr<moved_value>> values;
    std::size_t weight = 0; // of the values

    [[nodiscard]] std::size_t size() const noexcept { return bytes.size() + weight; }

    /// Moves everything behind what `to` has.
    void move_to(thread_batch& to) {
        if (to.bytes.empty()) {
            std::swap(bytes, to.bytes);
        } else {
            to.bytes.append(bytes.span());
            bytes.clear();
        }
        move_all(descriptors, to.descriptors);
        move_all(values, to.values);
        to.weight += std::exchange(weight, 0);
    }

private:
    template <typename Items>
    static void move_all(Items& from, Items& to) {
        if (to.empty()) {
            std::swap(from, to);
            return;
        }
        for (auto& each : from) {
            to.push_back(std::move(each));
        }
        from.clear();
    }
};

/// What two threads have between them: a queue each way, that one system call wakes the reader of
/// when it has taken all there was. A side is 0 or 1 and belongs to one thread.
class thread_queues {
public:
    enum class pushed { all, full, closed };

    [[nodiscard]] int descriptor(std::size_t side) const noexcept {
        return wake_[side].descriptor();
    }
    void clear(std::size_t side) noexcept { wake_[side].clear(); }
    void remind(std::size_t side) noexcept { wake_[side].notify(); }

    /// Moves the batch to the other side; all of it or, when that has not taken what was there,
    /// nothing: then the descriptor tells when it can be tried again.
    pushed push(std::size_t side, thread_batch& from) {
        auto& way = ways_[side];
        std::unique_lock lock{way.mutex};
        if (way.closed) {
            return pushed::closed;
        }
        if (way.waiting.size() >= capacity) {
            way.writer_waits = true;
            return pushed::full;
        }
        bool asleep = way.waiting.bytes.empty();
        from.move_to(way.waiting);
        lock.unlock();
        if (asleep) {
            wake_[1 - side].notify();
        }
        return pushed::all;
    }

    /// Takes everything that has arrived. \returns whether more can come
    bool take(std::size_t side, thread_batch& into) {
        auto& way = ways_[1 - side];
        std::unique_lock lock{way.mutex};
        bool open = !way.closed;
        way.waiting.move_to(into);
        if (std::exchange(way.writer_waits, false)) {
            lock.unlock();
            way.room.notify_one();
            wake_[1 - side].notify();
        }
        return open;
    }

    void wait_for_room(std::size_t side, std::chrono::milliseconds limit) {
        auto& way = ways_[side];
        std::unique_lock lock{way.mutex};
        way.room.wait_for(lock, limit, [&way] { return !way.writer_waits || way.closed; });
    }

    /// Nothing passes any more but what is there already.
    void close(std::size_t side) noexcept {
        for (auto& each : ways_) {
            {
                std::lock_guard lock{each.mutex};
                each.closed = true;
            }
            each.room.notify_one();
        }
        wake_[1 - side].notify();
    }

private:
    static constexpr std::size_t capacity = 256 * 1024;

    struct one_way {
        std::mutex mutex;
        std::condition_variable room;
        thread_batch waiting;
        bool writer_waits = false;
        bool closed = false;
    };

    std::array<one_way, 2> ways_; // by the side that writes
    std::array<os::wakeup, 2> wake_;
};

/// Frames between two threads of one process: what a pair of sockets is between processes, without
/// a copy by the system.
class thread_carrier final : public carrier {
public:
    /// Both ends. \throws std::system_error when the system is out of descriptors.
    static std::array<std::unique_ptr<carrier>, 2> make() {
        auto both = std::make_shared<thread_queues>();
        return {std::make_unique<thread_carrier>(both, 0),
                std::make_unique<thread_carrier>(both, 1)};
    }

    thread_carrier(std::shared_ptr<thread_queues> both, std::size_t side) noexcept
        : shared_{std::move(both)}, side_{side} {}
    ~thread_carrier() override { shared_->close(side_); }

    [[nodiscard]] inline int descriptor() const noexcept override {
        return shared_->descriptor(side_);
    }
    [[nodiscard]] inline os::io room_signal() const noexcept override { return os::io::readable; }
    inline void clear(inbox&) override { shared_->clear(side_); }
    inline result push(outbox& from) override;
    inline os::transfer pull(inbox& into) override;
    inline void wait_for_room(std::chrono::milliseconds limit) override {
        shared_->wait_for_room(side_, limit);
    }
    [[nodiscard]] inline bool is_between_threads() const noexcept override { return true; }

private:
    static void exchange(thread_batch& batch, outbox& with) noexcept {
        std::swap(batch.bytes, with.bytes);
        std::swap(batch.values, with.values);
        std::swap(batch.weight, with.weight);
    }

    std::shared_ptr<thread_queues> shared_;
    std::size_t side_;
};

// All that waits, or nothing of it.
inline carrier::result thread_carrier::push(outbox& from) {
    if (from.bytes.empty()) {
        return result::done;
    }
    if (!from.keep_descriptors()) {
        return result::pressed;
    }
    thread_batch batch;
    std::size_t bytes = from.bytes.size();
    exchange(batch, from);
    for (auto& each : from.passed) {
        batch.descriptors.push_back(std::move(each.list.owned));
    }
    switch (shared_->push(side_, batch)) {
    case thread_queues::pushed::all:
        from.passed.clear();
        std::swap(batch.bytes, from.bytes); // storage of the other side's, to be used again
        from.bytes.clear();
        from.sent += bytes;
        return result::done;
    case thread_queues::pushed::full:
        exchange(batch, from);
        for (std::size_t i = 0; i != from.passed.size(); ++i) {
            from.passed[i].list.owned = std::move(batch.descriptors[i]);
        }
        return result::blocked;
    case thread_queues::pushed::closed:
        break;
    }
    return result::broken;
}

// Whole frames only; what belongs to them comes with them.
inline os::transfer thread_carrier::pull(inbox& into) {
    std::size_t before = into.bytes.size();
    thread_batch batch;
    std::swap(batch.bytes, into.bytes);
    std::swap(batch.values, into.values);
    bool open = shared_->take(side_, batch);
    std::swap(batch.bytes, into.bytes);
    std::swap(batch.values, into.values);
    for (auto& each : batch.descriptors) {
        into.descriptors.push_back({std::move(each), false});
    }
    std::size_t bytes = into.bytes.size() - before;
    if (!open) {
        shared_->remind(side_); // of the end, which comes behind all that
    }
    return {bytes, bytes == 0 && open ? EAGAIN : 0};
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_IPC_THREAD_CARRIER_HPP
