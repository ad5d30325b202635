// expect: error: static.assert.*on_message/on_request: the serializer cannot decode this type
#include <cluster.hpp>
struct mine {
    static constexpr std::string_view name = "mine";
    void encode(int, cluster::byte_buffer&) {}
    bool decode(std::span<const std::byte>, int&) { return true; }
};
void listen(cluster::compose<mine>::self_type& self) {
    self.on_message([](const int&) {});
}
