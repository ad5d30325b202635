// SPDX-License-Identifier: MIT
// The main() of a fuzz target without a fuzzer: runs it over the files of its command line.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <ios>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::ifstream file{argv[i], std::ios::binary};
        if (!file) {
            std::perror(argv[i]);
            return EXIT_FAILURE;
        }
        std::vector<char> text{std::istreambuf_iterator<char>{file}, {}};
        // A copy of its exact size: a look beyond the end is found by the sanitizer.
        std::vector<std::uint8_t> bytes(text.begin(), text.end());
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    std::printf("%d inputs\n", argc - 1);
    return EXIT_SUCCESS;
}
