// expect: error: static.assert.*a C array.*hides the number of members; use std::array, or give the
// type a serialize
#include <cluster/serialization/binary.hpp>
struct named {
    int number;
    char name[8];
};
void send(const named& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
