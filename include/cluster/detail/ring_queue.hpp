// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_RING_QUEUE_HPP
#define CLUSTER_DETAIL_RING_QUEUE_HPP

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

/// A queue with two ends in one piece of memory, which grows by doubling and is used again: no
/// allocation before the first element, none once it has been as long as it gets. What a burst of
/// more than 16 KiB took is given back when the queue is empty. Growing moves the elements.
template <typename T>
class ring_queue {
    template <typename Queue>
    class cursor {
    public:
        cursor(Queue& queue, std::size_t index) noexcept : queue_{&queue}, index_{index} {}
        [[nodiscard]] auto& operator*() const noexcept { return (*queue_)[index_]; }
        cursor& operator++() noexcept {
            ++index_;
            return *this;
        }
        [[nodiscard]] bool operator==(const cursor&) const noexcept = default;

    private:
        Queue* queue_;
        std::size_t index_;
    };

public:
    ring_queue() noexcept = default;
    ring_queue(ring_queue&& other) noexcept
        : elements_{std::exchange(other.elements_, nullptr)},
          capacity_{std::exchange(other.capacity_, 0)},
          first_{std::exchange(other.first_, 0)},
          size_{std::exchange(other.size_, 0)} {}
    ring_queue& operator=(ring_queue&& other) noexcept {
        ring_queue gone{std::move(*this)};
        elements_ = std::exchange(other.elements_, nullptr);
        capacity_ = std::exchange(other.capacity_, 0);
        first_ = std::exchange(other.first_, 0);
        size_ = std::exchange(other.size_, 0);
        return *this;
    }
    ~ring_queue() { clear(); }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// \pre the element is there, as for all that follow
    [[nodiscard]] T& operator[](std::size_t index) noexcept { return *place(index); }
    [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return *place(index); }
    [[nodiscard]] T& front() noexcept { return *place(0); }
    [[nodiscard]] const T& front() const noexcept { return *place(0); }
    [[nodiscard]] T& back() noexcept { return *place(size_ - 1); }
    [[nodiscard]] const T& back() const noexcept { return *place(size_ - 1); }

    /// Without effect when it throws std::bad_alloc, as push_front().
    void push_back(T&& value) {
        keep_room();
        ::new (static_cast<void*>(place(size_))) T(std::move(value));
        ++size_;
    }
    void push_front(T&& value) {
        keep_room();
        const std::size_t before = (first_ - 1) & (capacity_ - 1);
        ::new (static_cast<void*>(elements_ + before)) T(std::move(value));
        first_ = before;
        ++size_;
    }
    void pop_front() noexcept {
        place(0)->~T();
        first_ = (first_ + 1) & (capacity_ - 1);
        --size_;
        give_back_burst();
    }
    void pop_back() noexcept {
        back().~T();
        --size_;
        give_back_burst();
    }
    /// Frees the memory too.
    void clear() noexcept {
        for (std::size_t i = 0; i != size_; ++i) {
            place(i)->~T();
        }
        first_ = size_ = 0;
        free();
    }

    /// For loops over the range; they end before the queue changes.
    [[nodiscard]] auto begin() noexcept { return cursor<ring_queue>{*this, 0}; }
    [[nodiscard]] auto end() noexcept { return cursor<ring_queue>{*this, size_}; }
    [[nodiscard]] auto begin() const noexcept { return cursor<const ring_queue>{*this, 0}; }
    [[nodiscard]] auto end() const noexcept { return cursor<const ring_queue>{*this, size_}; }

private:
    static constexpr std::size_t kept_bytes = 16 * 1024;

    [[nodiscard]] T* place(std::size_t index) const noexcept {
        return elements_ + ((first_ + index) & (capacity_ - 1));
    }

    void keep_room() {
        static_assert(std::is_nothrow_move_constructible_v<T>);
        static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
        if (size_ != capacity_) {
            return;
        }
        const std::size_t more = capacity_ == 0 ? 4 : capacity_ * 2; // a power of two
        T* const grown = static_cast<T*>(::operator new(more * sizeof(T)));
        for (std::size_t i = 0; i != size_; ++i) {
            ::new (static_cast<void*>(grown + i)) T(std::move(*place(i)));
            place(i)->~T();
        }
        ::operator delete(elements_);
        elements_ = grown;
        capacity_ = more;
        first_ = 0;
    }

    void give_back_burst() noexcept {
        if (size_ == 0 && capacity_ * sizeof(T) > kept_bytes) {
            free();
        }
    }
    void free() noexcept {
        ::operator delete(std::exchange(elements_, nullptr));
        capacity_ = first_ = 0;
    }

    T* elements_ = nullptr;
    std::size_t capacity_ = 0;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_RING_QUEUE_HPP
