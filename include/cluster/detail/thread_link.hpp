// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_THREAD_LINK_HPP
#define CLUSTER_DETAIL_THREAD_LINK_HPP

#include "../byte_buffer.hpp"
#include "../unique_fd.hpp"
#include "chrono.hpp"
#include "moved_value.hpp"
#include "os.hpp"
#include "ring_queue.hpp"

#include <array>
#include <condition_variable>
#include <cstddef>
#include <memory>
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

/// One of two ends of a connection between threads of one process: what a pair of sockets is
/// between processes, without a copy by the system. One system call wakes a side that has taken all
/// there was. Each end belongs to one thread. What it does is behind virtual functions: programs
/// whose workers are processes never make one, and have none of it.
class thread_link {
public:
    enum class pushed { all, full, closed };

    thread_link() noexcept = default;
    thread_link(thread_link&&) noexcept = default;
    thread_link& operator=(thread_link&& other) noexcept {
        close();
        shared_ = std::move(other.shared_);
        side_ = other.side_;
        return *this;
    }
    ~thread_link() { close(); }

    /// \throws std::system_error when the system is out of descriptors.
    static std::array<thread_link, 2> make();

    [[nodiscard]] explicit operator bool() const noexcept { return shared_ != nullptr; }

    /// Readable when something has arrived, there is room again, or the other end is closed.
    [[nodiscard]] int descriptor() const noexcept { return shared_->descriptor(side_); }
    /// To be called before take() and push() when the descriptor is readable.
    void clear() const noexcept { shared_->clear(side_); }
    /// Makes the descriptor readable.
    void remind() const noexcept { shared_->remind(side_); }

    /// Moves the batch to the other side; all of it or, when that has not taken what was there,
    /// nothing: then the descriptor tells when it can be tried again.
    pushed push(thread_batch& from) { return shared_->push(side_, from); }

    /// Takes everything that has arrived. \returns whether more can come
    bool take(thread_batch& into) { return shared_->take(side_, into); }

    /// Blocks until push() has a chance, or the time is over.
    void wait_for_room(std::chrono::milliseconds limit) { shared_->wait_for_room(side_, limit); }

    /// Nothing passes any more but what is there already.
    void close() noexcept {
        if (auto both = std::exchange(shared_, nullptr)) {
            both->close(side_);
        }
    }

private:
    class shared {
    public:
        shared() = default;
        shared(shared&&) = delete;
        shared& operator=(shared&&) = delete;
        virtual ~shared() = default;
        [[nodiscard]] virtual int descriptor(std::size_t side) const noexcept = 0;
        virtual void clear(std::size_t side) noexcept = 0;
        virtual void remind(std::size_t side) noexcept = 0;
        virtual pushed push(std::size_t side, thread_batch& from) = 0;
        virtual bool take(std::size_t side, thread_batch& into) = 0;
        virtual void wait_for_room(std::size_t side, std::chrono::milliseconds limit) = 0;
        virtual void close(std::size_t side) noexcept = 0;
    };
    class queues;

    thread_link(std::shared_ptr<shared> both, std::size_t side) noexcept
        : shared_{std::move(both)}, side_{side} {}

    std::shared_ptr<shared> shared_;
    std::size_t side_ = 0;
};

class thread_link::queues final : public shared {
public:
    [[nodiscard]] int descriptor(std::size_t side) const noexcept override {
        return wake_[side].descriptor();
    }
    void clear(std::size_t side) noexcept override { wake_[side].clear(); }
    void remind(std::size_t side) noexcept override { wake_[side].notify(); }

    pushed push(std::size_t side, thread_batch& from) override {
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

    bool take(std::size_t side, thread_batch& into) override {
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

    void wait_for_room(std::size_t side, std::chrono::milliseconds limit) override {
        auto& way = ways_[side];
        std::unique_lock lock{way.mutex};
        way.room.wait_for(lock, limit, [&way] { return !way.writer_waits || way.closed; });
    }

    void close(std::size_t side) noexcept override {
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

inline std::array<thread_link, 2> thread_link::make() {
    auto both = std::make_shared<queues>();
    return {thread_link{both, 0}, thread_link{both, 1}};
}

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_THREAD_LINK_HPP
