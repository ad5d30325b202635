// SPDX-License-Identifier: MIT
#include <http1_parser.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using examples::request_parser;

// What the parser makes of one request, as text: the fields or the status of the error.
std::string outcome(const request_parser& parser) {
    if (!parser.ready()) {
        return parser.failed() ? std::to_string(parser.error()) : "more";
    }
    const auto& request = parser.current();
    return std::string{request.method} + '|' + std::string{request.target} + '|' +
           std::string{request.fields} + '|' + std::string{request.body} + '|' +
           std::to_string(request.minor_version) + (request.keep_alive ? "|keep" : "|close");
}

std::string parsed(std::string_view text, examples::parse_limits limits = {}) {
    request_parser parser{limits};
    parser.feed(text);
    return outcome(parser);
}

// The same in pieces that end at the given places and do not stay in memory.
std::string parsed_in_pieces(std::string_view text, std::vector<std::size_t> ends) {
    request_parser parser;
    std::size_t begin = 0;
    ends.push_back(text.size());
    for (auto end : ends) {
        std::string piece{text.substr(begin, end - begin)};
        parser.feed(piece);
        parser.keep();
        piece.assign(piece.size(), '#');
        begin = end;
    }
    return outcome(parser);
}

std::string get_with(std::string_view fields) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string{fields} + "\r\n";
}
std::string post_chunked(std::string_view body) {
    return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string{body};
}

} // namespace

TEST_SUITE_BEGIN("examples/http1_parser");

TEST_CASE("a request is taken apart into views of its bytes") {
    std::string text = "POST /a/b?x=1&empty&y=2 HTTP/1.1\r\nHost: example\r\nX-Name:  a b \r\n"
                       "Content-Length: 3\r\n\r\nabcGET";
    request_parser parser;
    CHECK(parser.feed(text) == text.size() - 3);
    REQUIRE(parser.ready());
    const auto& request = parser.current();
    CHECK(request.method == "POST");
    CHECK(request.target == "/a/b?x=1&empty&y=2");
    CHECK(request.path() == "/a/b");
    CHECK(request.query("x") == "1");
    CHECK(request.query("y") == "2");
    CHECK(request.query("empty") == "");
    CHECK_FALSE(request.query("z"));
    CHECK(request.header("x-NAME") == "a b");
    CHECK(request.header("host") == "example");
    CHECK_FALSE(request.header("x"));
    CHECK(request.body == "abc");
    CHECK(request.method.data() == text.data()); // nothing was copied
    CHECK(request.body.data() == text.data() + text.size() - 6);
}

TEST_CASE("an absolute target has a path and a query as well") {
    request_parser parser;
    parser.feed("GET http://host?q=1 HTTP/1.1\r\nHost: host\r\n\r\n");
    REQUIRE(parser.ready());
    CHECK(parser.current().path() == "/");
    CHECK(parser.current().query("q") == "1");
}

TEST_CASE("the pieces in which a request arrives do not change it") {
    for (const std::string& text :
         {get_with("A: b\r\n"),
          "\r\n\r\nPUT /x HTTP/1.0\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello" +
              std::string{},
          post_chunked("3;a=\"b\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"),
          std::string{"GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
          std::string{"GET / HTTP/3.0\r\nHost: a\r\n\r\n"}}) {
        CAPTURE(text);
        auto whole = parsed(text);
        CHECK(whole != "more");
        for (std::size_t first = 0; first <= text.size(); ++first) {
            CHECK(parsed_in_pieces(text, {first}) == whole);
            for (std::size_t second = first; second <= text.size(); second += 3) {
                CHECK(parsed_in_pieces(text, {first, second}) == whole);
            }
        }
        std::vector<std::size_t> every;
        for (std::size_t i = 1; i < text.size(); ++i) {
            every.push_back(i);
        }
        CHECK(parsed_in_pieces(text, every) == whole);
    }
}

TEST_CASE("every prefix of a request waits for more") {
    for (const std::string& text :
         {get_with("A: b\r\nContent-Length: 2\r\n") + "ab", post_chunked("1\r\na\r\n0\r\n\r\n")}) {
        for (std::size_t size = 0; size < text.size(); ++size) {
            CHECK(parsed(text.substr(0, size)) == "more");
        }
        CHECK(parsed(text).find('|') != std::string::npos);
    }
}

TEST_CASE("requests behind each other come one by one") {
    std::string text =
        get_with("") + post_chunked("1\r\na\r\n0\r\n\r\n") + "\r\n" + get_with("B: c\r\n");
    request_parser parser;
    std::string_view rest = text;
    std::vector<std::string> seen;
    while (!rest.empty()) {
        rest.remove_prefix(parser.feed(rest));
        REQUIRE(parser.ready());
        CHECK(parser.feed(rest) == 0);
        seen.push_back(outcome(parser));
        parser.next();
    }
    CHECK(seen.size() == 3);
    CHECK(seen[1].find("|a|") != std::string::npos);
    CHECK(seen[2] == parsed(get_with("B: c\r\n")));
    CHECK(parser.between());
}

TEST_CASE("empty lines between requests are nothing") {
    request_parser parser;
    parser.feed("\r\n\r\n");
    CHECK(parser.between());
    parser.feed("\r");
    CHECK_FALSE(parser.between());
    parser.feed("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(parser.ready());
}

TEST_CASE("what the client wishes for its connection is understood") {
    CHECK(parsed("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("keep"));
    CHECK(parsed(get_with("Connection: close\r\n")).ends_with("close"));
    CHECK(parsed(get_with("connection: x, CLOSE ,y\r\n")).ends_with("close"));
    CHECK(parsed(get_with("Connection: closed\r\n")).ends_with("keep"));
    CHECK(parsed("GET / HTTP/1.0\r\n\r\n").ends_with("close"));
    CHECK(parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").ends_with("keep"));
    CHECK(parsed("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").ends_with("close"));
}

TEST_CASE("bad syntax is a 400") {
    for (const std::string& text : {
             std::string{"GET /\r\n\r\n"}, // HTTP/0.9
             std::string{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
             std::string{" GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET / http/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/11\r\nHost: a\r\n\r\n"},
             std::string{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/1.1\nHost: a\n\n"}, // bare LF
             std::string{"GET / HTTP/1.1\r\nHost: a\n\r\n"},
             std::string{"GET / HTTP/1.1\r\nHost: a\r\n\n"},
             std::string{"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/1.1\r\n\r\n"}, // no host
             std::string{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
             std::string{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
             std::string{"GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
             std::string{std::string_view{"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 28}},
             std::string{"\x16\x03\x01\x02"}, // TLS need not wait for a line
             get_with("A\r\n"),
             get_with(": b\r\n"),
             get_with("A B: c\r\n"),
             get_with(" folded\r\n"),
             get_with("A: b\r\n\tfolded\r\n"),
             get_with("A: b\rc\r\n"),
             get_with(std::string_view{"A: b\0\r\n", 7}),
             get_with("A: \x7f\r\n"),
         }) {
        CAPTURE(text);
        CHECK(parsed(text) == "400");
    }
}

TEST_CASE("a body whose length is not clear is refused") {
    CHECK(parsed(get_with("Content-Length: 1\r\nContent-Length: 2\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length: 1, 1\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length: -1\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length: +1\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length: 0x1\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length:\r\n")) == "400");
    CHECK(parsed(get_with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")) == "400");
    CHECK(parsed(get_with("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n")) == "400");
    CHECK(parsed(get_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")) ==
          "400");
    CHECK(parsed(get_with("Transfer-Encoding: chunked, gzip\r\n")) == "400");
    CHECK(parsed(get_with("Transfer-Encoding: gzip, chunked\r\n")) == "501");
    CHECK(parsed(get_with("Transfer-Encoding: gzip\r\n")) == "501");
    CHECK(parsed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == "400");
    CHECK(parsed(get_with("Content-Length: 1\r\nContent-Length: 01\r\n") + "a").find("|a|") !=
          std::string::npos);
}

TEST_CASE("what is well-formed but not served has its own status") {
    CHECK(parsed("BREW / HTTP/1.1\r\nHost: a\r\n\r\n") == "405");
    CHECK(parsed("get / HTTP/1.1\r\nHost: a\r\n\r\n") == "405");
    CHECK(parsed("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n") == "405");
    CHECK(parsed("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == "505");
    CHECK(parsed("GET / HTTP/0.9\r\nHost: a\r\n\r\n") == "505");
    CHECK(parsed("GET / HTTP/1.2\r\nHost: a\r\n\r\n").ends_with("|2|keep"));
    CHECK(parsed("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("OPTIONS|*|"));
    CHECK(parsed(get_with("Expect: 42\r\n")) == "417");
    CHECK(parsed("GET / HTTP/1.0\r\nExpect: 42\r\n\r\n").starts_with("GET"));
}

TEST_CASE("a head may not grow beyond its limits") {
    examples::parse_limits small{.head = 64, .fields = 2, .body = 10};
    CHECK(parsed("GET /" + std::string(100, 'a'), small) == "414");
    CHECK(parsed(get_with("A: " + std::string(100, 'a')), small) == "431");
    CHECK(parsed(get_with("A: 1\r\n"), small).starts_with("GET"));
    CHECK(parsed(get_with("A: 1\r\nB: 2\r\n"), small) == "431");
    std::string fits = get_with("A: " + std::string(64 - get_with("A: \r\n").size(), 'a') + "\r\n");
    CHECK(fits.size() == 64);
    CHECK(parsed(fits, small).starts_with("GET"));
    CHECK(parsed(get_with("A: " + std::string(20 * 1024, 'a') + "\r\n")) == "431");

    request_parser slow{small};
    std::string_view text = "GET / HTTP/1.1\r\nHost: a\r\n";
    slow.feed(text);
    for (int i = 0; i != 100 && !slow.failed(); ++i) {
        slow.feed("a");
    }
    CHECK(slow.error() == 431);
}

TEST_CASE("a body may not grow beyond its limit") {
    examples::parse_limits small{.head = 1024, .fields = 100, .body = 10};
    CHECK(parsed(get_with("Content-Length: 10\r\n") + "0123456789", small).find("|0123456789|") !=
          std::string::npos);
    CHECK(parsed(get_with("Content-Length: 11\r\n"), small) == "413");
    CHECK(parsed(get_with("Content-Length: 99999999999999999999999999\r\n")) == "413");
    CHECK(parsed(post_chunked("a\r\n0123456789\r\n0\r\n\r\n"), small).find("|0123456789|") !=
          std::string::npos);
    CHECK(parsed(post_chunked("b\r\n"), small) == "413");
    CHECK(parsed(post_chunked("5\r\n01234\r\n6\r\n"), small) == "413");
    CHECK(parsed(post_chunked("fffffffffffffffff\r\n")) == "413");
}

TEST_CASE("a malformed chunk is a 400") {
    for (std::string_view body : {"\r\n",
                                  "g\r\n",
                                  "0x1\r\n",
                                  "-1\r\n",
                                  "1 \r\na\r\n",
                                  "1\na\r\n",
                                  "1\r\nab\r\n",
                                  "1\r\na\n",
                                  "1;\n",
                                  "0\r\n\n",
                                  "0\r\n folded\r\n",
                                  "00000000000000000\r\n"}) {
        CAPTURE(body);
        CHECK(parsed(post_chunked(body)) == "400");
    }
    CHECK(parsed(post_chunked("1;" + std::string(20'000, 'x'))) == "400");
    CHECK(parsed(post_chunked("0\r\nT: " + std::string(20'000, 'x'))) == "431");
}

TEST_CASE("a client that expects 100 Continue is told once, and only while its body is missing") {
    request_parser parser;
    parser.feed("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(parser.take_continue());
    CHECK_FALSE(parser.take_continue());
    parser.feed("ab");
    CHECK(parser.ready());
    parser.next();
    parser.feed("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\na");
    CHECK_FALSE(parser.take_continue());
}

TEST_SUITE_END();
