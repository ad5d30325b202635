// expect: error: static.assert.*cluster: an aggregate with a base class cannot be taken apart
#include <cluster/serialization/binary.hpp>
struct event {
    int number;
};
struct order : event {
    int price;
};
void send(const order& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
