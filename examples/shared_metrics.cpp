// Counters and a cache that all workers share; each worker crashes, nothing is lost.
#include <cluster.hpp>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

using word = cluster::fixed_string<24>; // text that holds its bytes itself

int main(int argc, char** argv) {
    cluster::process_cluster app{argc, argv};
    return app.run(
        [](auto& primary) {
            auto metrics = primary.shared_counters("metrics", 100);
            auto cache = primary.template shared_map<word, std::uint64_t>("squares", 1000);
            primary.on(cluster::event::exit, [&primary, metrics, cache](auto&) mutable {
                if (metrics["crashes"].value() != 5) {
                    primary.fork(); // another one for it
                } else if (primary.workers().empty()) {
                    metrics.for_each([](std::string_view name, std::int64_t value) {
                        std::printf("%.*s %ld\n",
                                    static_cast<int>(name.size()),
                                    name.data(),
                                    static_cast<long>(value));
                    });
                    std::printf("12 squared is %ld, of %zu in the cache\n",
                                static_cast<long>(cache.find("12").value_or(0)),
                                cache.size());
                }
            });
            primary.fork();
        },
        [](auto& self) {
            auto metrics = self.shared_counters("metrics", 100);
            auto cache = self.template shared_map<word, std::uint64_t>("squares", 1000);
            auto hits = metrics["hits"]; // found once, then an addition costs one instruction
            auto misses = metrics["misses"];
            for (std::uint64_t i = 0; i != 20; ++i) {
                if (cache.contains(std::to_string(i))) {
                    hits.add();
                } else {
                    misses.add();
                    cache.insert_or_assign(std::to_string(i), i * i);
                }
            }
            metrics["crashes"].add();
            std::raise(SIGKILL);
        });
}
