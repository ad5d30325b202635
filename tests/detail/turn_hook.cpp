// SPDX-License-Identifier: MIT
#include <cluster/detail/turn_hook.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <type_traits>

namespace {

using cluster::detail::list_node;
using cluster::detail::turn_hook;

static_assert(!std::is_move_constructible_v<turn_hook>);
static_assert(!std::is_copy_constructible_v<turn_hook>);

struct named : list_node {
    explicit named(char which) : name{which} {}
    char name;
};

std::string names(const list_node& head) {
    std::string result;
    for (const list_node* each = head.next(); each != &head; each = each->next()) {
        result += static_cast<const named*>(each)->name;
    }
    return result;
}

} // namespace

TEST_SUITE("detail/turn_hook") {
    TEST_CASE("a node is linked once, where it was put last") {
        list_node head;
        CHECK_FALSE(head.linked());
        named a{'a'};
        named b{'b'};
        a.insert_before(head);
        b.insert_before(head);
        CHECK(names(head) == "ab");
        CHECK(a.linked());
        a.insert_before(head);
        CHECK(names(head) == "ba");
        a.insert_before(b);
        CHECK(names(head) == "ab");
        b.unlink();
        b.unlink();
        CHECK_FALSE(b.linked());
        CHECK(names(head) == "a");
    }

    TEST_CASE("a node leaves its list when it dies, a list may die first") {
        auto head = std::make_unique<list_node>();
        named a{'a'};
        {
            named b{'b'};
            a.insert_before(*head);
            b.insert_before(*head);
        }
        CHECK(names(*head) == "a");
        head.reset();
        CHECK_FALSE(a.linked());
    }

    TEST_CASE("all nodes change lists at once") {
        list_node from;
        list_node to;
        from.splice_to(to);
        CHECK_FALSE(to.linked());
        named a{'a'};
        named b{'b'};
        a.insert_before(from);
        b.insert_before(from);
        from.splice_to(to);
        CHECK_FALSE(from.linked());
        CHECK(names(to) == "ab");
        named c{'c'};
        c.insert_before(from);
        CHECK(names(from) == "c");
        CHECK(names(to) == "ab");
    }

    TEST_CASE("a hook calls the member of its owner") {
        struct owner_type {
            int calls = 0;
            void call() { ++calls; }
            turn_hook hook = turn_hook::for_member<owner_type, &owner_type::call>(*this);
        } owner;
        owner.hook.run();
        CHECK(owner.calls == 1);
    }
}
