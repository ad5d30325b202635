// The same program on processes, on forks that share memory copy-on-write, and on threads.
#include <cluster.hpp>

#include <cstdio>

struct task {
    int n = 0;
};
struct answer {
    long value = 0;
};

long fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

template <class Backend>
int compute(int argc, char** argv) {
    cluster::compose<Backend> app{argc, argv};
    return app.run(
        [](auto& primary) {
            primary.on_message([](auto& from, const answer& message) {
                std::printf("worker %u: %ld\n", from.id(), message.value);
                from.disconnect();
            });
            int n = 30;
            for (auto& worker : primary.fork(2)) {
                worker.send(task{n++});
            }
        },
        [](auto& self) {
            self.on_message([&self](const task& work) { self.send(answer{fibonacci(work.n)}); });
        });
}

#ifndef BACKEND
#    define BACKEND process
#endif
int main(int argc, char** argv) {
    return compute<cluster::backend::BACKEND>(argc, argv);
}
