// expect: error: static.assert.*raw: only trivially copyable types.*use serialization::binary for
// this type
#include <cluster/serialization/raw.hpp>
#include <string>
#include <vector>
void send(const std::vector<std::string>& message, cluster::byte_buffer& out) {
    cluster::serialization::raw::encode(message, out);
}
