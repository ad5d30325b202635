// expect: error: static.assert.*Serializer must be default-constructible and movable
#include <cluster/serialization/concept.hpp>
struct mine {
    static constexpr std::string_view name = "mine";
    explicit mine(int) {}
    void encode(int, cluster::byte_buffer&) {}
    std::error_code decode(std::span<const std::byte>, int&) { return {}; }
};
cluster::detail::checked_serializer<mine>::type serializer;
