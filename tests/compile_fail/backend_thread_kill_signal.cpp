// expect: error: static.assert.*kill\(signal\): a thread gets no signals of its own; worker.kill\(\) asks it
#include <cluster.hpp>
#include <csignal>
int main(int argc, char** argv) {
    cluster::thread_cluster app{argc, argv};
    return app.run([](auto& primary) { primary.fork().kill(SIGKILL); }, [](auto&) {});
}
