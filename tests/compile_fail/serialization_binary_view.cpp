// expect: error: static.assert.*binary: a view can be encoded, but not decoded, as it owns nothing;
// use std::string
#include <cluster/serialization/binary.hpp>
#include <string_view>
#include <vector>
std::error_code receive(std::span<const std::byte> bytes, std::vector<std::string_view>& message) {
    return cluster::serialization::binary::decode(bytes, message);
}
