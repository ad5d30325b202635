// expect: error: static.assert.*send: the serializer cannot encode this type
#include <cluster.hpp>
struct mine {
    static constexpr std::string_view name = "mine";
    void encode(int, cluster::byte_buffer&) {}
    std::error_code decode(std::span<const std::byte>, int&) { return {}; }
};
void talk(cluster::compose<mine>::self_type& self) {
    self.send(std::string{"text"});
}
