// expect: error: static.assert.*binary: decoding makes elements and alternatives by their default
#include <cluster/serialization/binary.hpp>
#include <vector>
class account {
public:
    explicit account(long balance) : balance_{balance} {}
    template <typename Archive>
    void serialize(Archive& archive) {
        archive(balance_);
    }

private:
    long balance_;
};
std::error_code receive(std::span<const std::byte> bytes, std::vector<account>& message) {
    return cluster::serialization::binary::decode(bytes, message);
}
