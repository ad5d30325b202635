// expect: error: static.assert.*Serializer needs a `static constexpr std::string_view name`
#include <cluster/serialization/concept.hpp>
struct mine {
    void encode(int, cluster::byte_buffer&) {}
    std::error_code decode(std::span<const std::byte>, int&) { return {}; }
};
cluster::detail::checked_serializer<mine>::type serializer;
