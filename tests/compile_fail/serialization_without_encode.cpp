// expect: error: static.assert.*Serializer needs a member `void encode\(
#include <cluster/serialization/concept.hpp>
struct mine {
    static constexpr std::string_view name = "mine";
    std::error_code decode(std::span<const std::byte>, int&) { return {}; }
};
cluster::detail::checked_serializer<mine>::type serializer;
