// expect: error: static.assert.*send: this message cannot be copied; move it
#include <cluster.hpp>
#include <thread>
int main(int argc, char** argv) {
    cluster::thread_cluster app{argc, argv};
    return app.run(
        [](auto& primary) {
            std::thread owned;
            primary.fork().send(owned);
        },
        [](auto&) {});
}
