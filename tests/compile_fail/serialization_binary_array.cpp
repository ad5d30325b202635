// expect: error: static.assert.*binary: a C array is not a value; use std::array
#include <cluster/serialization/binary.hpp>
#include <tuple>
void send(const std::tuple<int[4]>& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
