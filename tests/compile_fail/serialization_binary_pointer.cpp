// expect: error: static.assert.*binary: a pointer means nothing in another process; use std::string
#include <cluster/serialization/binary.hpp>
struct greeting {
    int number;
    const char* text;
};
void send(const greeting& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
