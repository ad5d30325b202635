// SPDX-License-Identifier: MIT
// The HTTP parser of the examples against hostile bytes: it must not read outside of them, must not
// depend on how they are cut into pieces, and must stay within its limits.
#include <http1_parser.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

constexpr examples::parse_limits limits{.head = 512, .fields = 8, .body = 256};

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

std::size_t touch(std::string_view text) {
    std::size_t sum = 0;
    for (char c : text) {
        sum += static_cast<unsigned char>(c);
    }
    return sum;
}

// Everything that a handler sees, as text; the pieces are `step` bytes long (0: all at once).
std::string transcript(std::string_view input, std::size_t step, bool keep) {
    examples::request_parser parser{limits};
    std::string seen;
    while (!input.empty() && !parser.failed()) {
        // A copy of its own: a look beyond the piece is found by the sanitizer.
        std::string piece{input.substr(0, step == 0 ? input.npos : step)};
        piece.shrink_to_fit();
        auto used = parser.feed(piece);
        require(used <= piece.size());
        input.remove_prefix(used);
        if (!parser.ready()) {
            require(parser.failed() || used == piece.size());
            continue;
        }
        if (keep) {
            parser.keep();
            piece.assign(piece.size(), '#');
        }
        const auto& request = parser.current();
        require(request.body.size() <= limits.body && request.fields.size() <= limits.head);
        seen += std::string{request.method} + ' ' + std::string{request.target} + ' ' +
                std::string{request.path()} + (request.keep_alive ? " keep\n" : " close\n") +
                std::string{request.fields} + '\n' + std::string{request.body} + '\n';
        touch(request.header("x").value_or(""));
        touch(request.query("x").value_or(""));
        parser.next();
    }
    return seen + (parser.failed() ? std::to_string(parser.error()) : "more");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    auto whole = transcript(input, 0, false);
    require(whole == transcript(input, 0, true));
    require(whole == transcript(input, 1, false));
    require(whole == transcript(input, 7, true));
    return 0;
}
