// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_TURN_HOOK_HPP
#define CLUSTER_DETAIL_TURN_HOOK_HPP

namespace cluster {
inline namespace v0 {
namespace detail {

/// A node in a list of things to run: linked without allocation, unlinks itself when destroyed.
class list_node {
public:
    list_node() noexcept = default;
    list_node(list_node&&) = delete;
    list_node& operator=(list_node&&) = delete;
    ~list_node() { unlink(); }

    [[nodiscard]] bool linked() const noexcept { return next_ != this; }
    void unlink() noexcept {
        next_->previous_ = previous_;
        previous_->next_ = next_;
        next_ = previous_ = this;
    }
    void insert_before(list_node& position) noexcept {
        unlink();
        next_ = &position;
        previous_ = position.previous_;
        previous_->next_ = this;
        position.previous_ = this;
    }
    [[nodiscard]] list_node* next() const noexcept { return next_; }

    /// Moves every node behind `this` to behind `other`, which is empty.
    void splice_to(list_node& other) noexcept {
        if (linked()) {
            other.insert_before(*this);
            unlink();
        }
    }

private:
    list_node* next_ = this;
    list_node* previous_ = this;
};

/// Work that an object asks its loop to do once at the end of the turn: flush a channel, go on with
/// frames that an exception interrupted. Asking twice is asking once; asking never allocates.
class turn_hook : public list_node {
public:
    template <typename Owner, void (Owner::*Function)()>
    static turn_hook for_member(Owner& owner) noexcept {
        return turn_hook{&owner, [](void* object) { (static_cast<Owner*>(object)->*Function)(); }};
    }
    turn_hook(void* owner, void (*function)(void*)) noexcept : owner_{owner}, function_{function} {}

    void run() { function_(owner_); }

private:
    void* owner_;
    void (*function_)(void*);
};

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_TURN_HOOK_HPP
