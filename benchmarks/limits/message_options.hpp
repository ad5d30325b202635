// SPDX-License-Identifier: MIT
// What the programs that measure messages are told: how long, and which of their cells.
//
//   NAME [--seconds S] [--way WAY] [--bytes N]
#ifndef CLUSTER_BENCHMARKS_LIMITS_MESSAGE_OPTIONS_HPP
#define CLUSTER_BENCHMARKS_LIMITS_MESSAGE_OPTIONS_HPP

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

struct message_options {
    static constexpr std::size_t sizes[] = {64, 1024, 65536};

    double seconds = 0.3;
    std::string_view way{}; // "one way", whichever direction, or "round trip"; empty: both
    std::size_t bytes = 0;  // 0: all sizes

    message_options(int argc, char** argv) {
        for (int i = 1; i < argc; i += 2) {
            const std::string_view name = argv[i];
            const char* const value = i + 1 < argc ? argv[i + 1] : "";
            if (name == "--seconds" && std::atof(value) > 0) {
                seconds = std::atof(value);
            } else if (name == "--way" && *value != '\0') {
                way = value;
            } else if (name == "--bytes" && std::atol(value) > 0) {
                bytes = static_cast<std::size_t>(std::atol(value));
            } else {
                std::fprintf(stderr, "usage: %s [--seconds S] [--way WAY] [--bytes N]\n", argv[0]);
                std::exit(2);
            }
        }
    }

    [[nodiscard]] bool wants(std::string_view a_way, std::size_t some_bytes) const {
        return a_way.substr(0, way.size()) == way && (bytes == 0 || bytes == some_bytes);
    }
};

#endif // CLUSTER_BENCHMARKS_LIMITS_MESSAGE_OPTIONS_HPP
