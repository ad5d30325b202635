// expect: error: static.assert.*Serializer needs a member `std::error_code decode\(
#include <cluster/serialization/concept.hpp>
struct one_way {
    static constexpr std::string_view name = "one way";
    void encode(int, cluster::byte_buffer&) {}
};
template <typename Serializer>
struct channel {
    typename cluster::detail::checked_serializer<Serializer>::type serializer;
};
channel<one_way> c;
int value;
auto error = c.serializer.decode({}, value); // must add no second error
