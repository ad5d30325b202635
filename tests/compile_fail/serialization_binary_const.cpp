// expect: error: static.assert.*binary: what is const cannot be decoded into
#include <cluster/serialization/binary.hpp>
struct order {
    const int number;
};
std::error_code receive(std::span<const std::byte> bytes, order& message) {
    return cluster::serialization::binary::decode(bytes, message);
}
