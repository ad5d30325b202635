// A serializer of one's own: messages as a line of text. Ends by itself.
#include <cluster.hpp>

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

struct order {
    int number = 0;
    std::string text;
};

struct as_text {
    static constexpr std::string_view name = "as_text"; // both sides compare it

    static void encode(const order& message, cluster::byte_buffer& out) {
        auto line = std::to_string(message.number) + ' ' + message.text;
        out.append(line.data(), line.size());
    }
    static std::error_code decode(std::span<const std::byte> bytes, order& message) {
        std::string_view line{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
        auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), message.number);
        if (error != std::errc{} || end == line.data() + line.size() || *end != ' ') {
            return cluster::errc::bad_payload; // an error, not an exception
        }
        message.text = line.substr(static_cast<std::size_t>(end - line.data()) + 1);
        return {};
    }
};
static_assert(cluster::serializes<as_text, order>);

int main(int argc, char** argv) {
    cluster::compose<as_text> app{argc, argv};

    return app.run(
        [](auto& primary) {
            auto& worker = primary.fork();
            worker.template request<order>(
                order{7, "two coffees"}, [&worker](cluster::result<order> answer) {
                    std::printf(
                        "order %d: %s\n", answer.value().number, answer.value().text.c_str());
                    worker.disconnect();
                });
        },
        [](auto& self) {
            self.on_request([](const order& what) {
                return order{what.number, what.text + ", served"};
            });
        });
}
