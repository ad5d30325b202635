// SPDX-License-Identifier: MIT
#ifndef CLUSTER_DETAIL_FIELDS_HPP
#define CLUSTER_DETAIL_FIELDS_HPP

/// \file
/// The members of an aggregate, without a macro: counted by trying how many initialisers it takes,
/// reached by a structured binding. C++20 has no other way. Not for bit-fields and unions.

#include <cstddef>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace cluster {
inline namespace v0 {
namespace detail {

inline constexpr std::size_t max_fields = 32;

// Stands for the initialiser of any member of `Owner`. Never runs: it is used in `requires` only,
// but constructor templates that take anything are instantiated there, and want a definition.
template <typename Owner, std::size_t = 0>
struct any_field {
    template <typename Member>
        requires(!std::is_same_v<Member, Owner>)
    operator Member() const noexcept {
        std::abort();
    }
};

// Stands for the initialiser of a base class, which comes before those of the members.
template <typename Owner>
struct any_base {
    template <typename Base>
        requires(std::is_base_of_v<Base, Owner> && !std::is_same_v<Base, Owner>)
    operator Base() const noexcept {
        std::abort();
    }
};

template <typename T, std::size_t... I>
consteval bool takes_initialisers(std::index_sequence<I...>) {
    return requires { T{any_field<T, I>{}...}; };
}

// Whether the member after the first `I...` counts as one: `{}` stands for a whole C array, but
// any_field for a single element of it, and then those behind are too many.
template <typename T, std::size_t... I, std::size_t... J>
consteval bool is_one_initialiser(std::index_sequence<I...>, std::index_sequence<J...>) {
    return requires { T{any_field<T, I>{}..., {}, any_field<T, J>{}...}; };
}

inline constexpr std::size_t no_count = static_cast<std::size_t>(-1);

// The largest number of initialisers; more than max_fields when it is; no_count when there is
// none that works. Starts with those that are too few when a member has no default.
template <typename T, std::size_t N = 0, bool Found = false>
consteval std::size_t count_initialisers() {
    if constexpr (N > max_fields + 1) {
        return Found ? N : no_count;
    } else if constexpr (takes_initialisers<T>(std::make_index_sequence<N>{})) {
        return count_initialisers<T, N + 1, true>();
    } else if constexpr (Found) {
        return N - 1;
    } else {
        return count_initialisers<T, N + 1, false>();
    }
}

template <typename T>
consteval bool has_base_class() {
    return requires { T{any_base<T>{}}; };
}

template <typename T>
consteval bool has_opaque_member() {
    constexpr std::size_t count = count_initialisers<T>();
    return []<std::size_t... I>(std::index_sequence<I...>) {
        return !(is_one_initialiser<T>(std::make_index_sequence<I>{},
                                       std::make_index_sequence<count - 1 - I>{}) &&
                 ...);
    }(std::make_index_sequence<count>{});
}

enum class fields_fault : unsigned char { none, no_aggregate, base_class, too_many, opaque_member };

template <typename T>
consteval fields_fault find_fields_fault() {
    if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>) {
        return fields_fault::no_aggregate;
    } else if constexpr (has_base_class<T>()) {
        return fields_fault::base_class;
    } else if constexpr (count_initialisers<T>() == no_count) {
        return fields_fault::opaque_member;
    } else if constexpr (count_initialisers<T>() > max_fields) {
        return fields_fault::too_many;
    } else if constexpr (has_opaque_member<T>()) {
        return fields_fault::opaque_member;
    } else {
        return fields_fault::none;
    }
}

// Whether visit_fields can take `T` apart.
template <typename T>
inline constexpr bool has_fields = find_fields_fault<T>() == fields_fault::none;

// The same, with one sentence for each reason why not.
template <typename T>
consteval bool check_fields() {
    constexpr fields_fault fault = find_fields_fault<T>();
    static_assert(fault != fields_fault::no_aggregate,
                  "cluster: this type is not an aggregate; give the type a "
                  "`template <class Archive> void serialize(Archive& archive)` member.");
    static_assert(fault != fields_fault::base_class,
                  "cluster: an aggregate with a base class cannot be taken apart; make the base a "
                  "member, or give the type a serialize(archive) member.");
    static_assert(fault != fields_fault::too_many,
                  "cluster: an aggregate of more than 32 members (a C array counts as its "
                  "elements) cannot be taken apart; group them, use std::array, or give the type a "
                  "serialize(archive) member.");
    static_assert(fault != fields_fault::opaque_member,
                  "cluster: a C array, or a member without a default constructor, hides the number "
                  "of members; use std::array, or give the type a serialize(archive) member.");
    return fault == fields_fault::none;
}

template <typename T>
consteval std::size_t field_count() {
    if constexpr (check_fields<T>()) {
        return count_initialisers<T>();
    } else {
        return 0;
    }
}

// Calls `f` once with a reference to every member of `v`, in order of declaration.
// clang-format off
template <typename T, typename F>
constexpr decltype(auto) visit_fields(T& v, F&& f) {
    constexpr std::size_t n = field_count<std::remove_cv_t<T>>();
    if constexpr (n == 0) { static_cast<void>(v); return f(); }
    else if constexpr (n == 1) { auto& [a] = v; return f(a); }
    else if constexpr (n == 2) { auto& [a, b] = v; return f(a, b); }
    else if constexpr (n == 3) { auto& [a, b, c] = v; return f(a, b, c); }
    else if constexpr (n == 4) { auto& [a, b, c, d] = v; return f(a, b, c, d); }
    else if constexpr (n == 5) { auto& [a, b, c, d, e] = v; return f(a, b, c, d, e); }
    else if constexpr (n == 6) { auto& [a, b, c, d, e, g] = v; return f(a, b, c, d, e, g); }
    else if constexpr (n == 7) { auto& [a, b, c, d, e, g, h] = v; return f(a, b, c, d, e, g, h); }
    else if constexpr (n == 8) {
        auto& [a, b, c, d, e, g, h, i] = v;
        return f(a, b, c, d, e, g, h, i);
    }
    else if constexpr (n == 9) {
        auto& [a, b, c, d, e, g, h, i, j] = v;
        return f(a, b, c, d, e, g, h, i, j);
    }
    else if constexpr (n == 10) {
        auto& [a, b, c, d, e, g, h, i, j, k] = v;
        return f(a, b, c, d, e, g, h, i, j, k);
    }
    else if constexpr (n == 11) {
        auto& [a, b, c, d, e, g, h, i, j, k, l] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l);
    }
    else if constexpr (n == 12) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m);
    }
    else if constexpr (n == 13) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o);
    }
    else if constexpr (n == 14) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p);
    }
    else if constexpr (n == 15) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q);
    }
    else if constexpr (n == 16) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r);
    }
    else if constexpr (n == 17) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s);
    }
    else if constexpr (n == 18) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t);
    }
    else if constexpr (n == 19) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u);
    }
    else if constexpr (n == 20) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w);
    }
    else if constexpr (n == 21) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x);
    }
    else if constexpr (n == 22) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y);
    }
    else if constexpr (n == 23) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z);
    }
    else if constexpr (n == 24) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa);
    }
    else if constexpr (n == 25) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa, ab] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa, ab);
    }
    else if constexpr (n == 26) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa, ab, ac] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r, s, t, u, w, x, y, z, aa, ab, ac);
    }
    else if constexpr (n == 27) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad);
    }
    else if constexpr (n == 28) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad, ae] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad, ae);
    }
    else if constexpr (n == 29) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag);
    }
    else if constexpr (n == 30) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah);
    }
    else if constexpr (n == 31) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah, ai] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah, ai);
    }
    else if constexpr (n == 32) {
        auto& [a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
               s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah, ai, aj] = v;
        return f(a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r,
                 s, t, u, w, x, y, z, aa, ab, ac, ad, ae, ag, ah, ai, aj);
    }
}
// clang-format on

// Calls `f` with each member of `v` in turn.
template <typename T, typename F>
constexpr void for_each_field(T& v, F&& f) {
    visit_fields(v, [&f](auto&... field) { (static_cast<void>(f(field)), ...); });
}

template <typename... Types>
struct type_list {};

struct list_types {
    template <typename... Fields>
    constexpr type_list<Fields...> operator()(Fields&...) const noexcept {
        return {};
    }
};

// type_list of the members' types, `const` included.
template <typename T>
using field_types = decltype(visit_fields(std::declval<T&>(), list_types{}));

} // namespace detail
} // namespace v0
} // namespace cluster

#endif // CLUSTER_DETAIL_FIELDS_HPP
