// expect: error: static.assert.*cluster: an aggregate of more than 32 members
#include <cluster/serialization/binary.hpp>
struct many {
    int a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19;
    int b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12, b13, b14, b15, b16, b17, b18, b19;
};
void send(const many& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
