// expect: error: static.assert.*binary: there is no encoding for this type.*void
// serialize\(Archive& archive\)
#include <cluster/serialization/binary.hpp>
class account {
public:
    explicit account(long balance) : balance_{balance} {}

private:
    long balance_;
};
void send(const account& message, cluster::byte_buffer& out) {
    cluster::serialization::binary::encode(message, out);
}
