// expect: error: static.assert.*send: this message cannot be copied; move it
#include <cluster.hpp>
#include <memory>
int main(int argc, char** argv) {
    cluster::thread_cluster app{argc, argv};
    return app.run(
        [](auto& primary) {
            auto owned = std::make_unique<int>(1);
            primary.fork().send(owned);
        },
        [](auto&) {});
}
