// expect: error: static.assert.*raw: only trivially copyable types.*and views own nothing
#include <cluster/serialization/raw.hpp>
#include <string_view>
std::error_code receive(std::span<const std::byte> bytes, std::string_view& message) {
    return cluster::serialization::raw::decode(bytes, message);
}
