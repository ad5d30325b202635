// SPDX-License-Identifier: MIT
#include <cluster/detail/os/linux/process_title.hpp> // first and alone: proves it is self-contained

#include <cluster/detail/os/linux/process.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <initializer_list>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

namespace os = cluster::detail::os;

namespace {

/// Runs the fixture, which reports line by line. \returns its output, with `@` for its command line
std::string report(std::initializer_list<const char*> words) {
    std::vector<const char*> arguments{FIXTURE_PROCESS_TITLE};
    arguments.insert(arguments.end(), words);
    arguments.push_back(nullptr);
    const char* const environment[] = {"FIXTURE_VARIABLE=kept", nullptr};
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const cluster::unique_fd out{ends[0]};
    cluster::unique_fd in{ends[1]};
    const int descriptors[] = {-1, in.get(), STDERR_FILENO};
    os::spawn_request request;
    request.path = FIXTURE_PROCESS_TITLE;
    request.arguments = arguments.data();
    request.environment = environment;
    request.descriptors = descriptors;
    std::error_code error;
    os::child_process child = os::spawn(request, error);
    REQUIRE_FALSE(error);
    in.reset();
    std::string text;
    char buffer[512];
    for (ssize_t size = 1; size > 0;) {
        size = ::read(out.get(), buffer, sizeof buffer);
        text.append(buffer, static_cast<std::size_t>(size > 0 ? size : 0));
    }
    CHECK(child.wait() == os::exit_info{os::exit_info::kind::exited, 0, false});
    std::string own;
    for (const char* word : arguments) {
        own += word == nullptr ? std::string{} : std::string{word} + '|';
    }
    for (std::size_t at = text.find(own); at != std::string::npos; at = text.find(own)) {
        text.replace(at, own.size(), "@");
    }
    return text;
}

std::string without_first_line(const std::string& text) {
    return text.substr(text.find('\n') + 1);
}

const std::string untouched = "arguments=1 environment=1 heap=1 variable=kept\n";

} // namespace

TEST_SUITE("detail/os/process_title") {
    TEST_CASE("a title replaces the command line and the one before it") {
        const std::string text = report({"short", "a longer title: [2]", "", "s", "--long", "end"});
        if (text.starts_with("possible=1")) {
            CHECK(text == "possible=1\ntitle=short|\ntitle=a longer title: [2]|\ntitle=|\n"
                          "title=s|\nlong=1\ntitle=end|\n" +
                              untouched);
        } else {
            MESSAGE("the system permits no titles");
            CHECK(text ==
                  "possible=0\ntitle=@\ntitle=@\ntitle=@\ntitle=@\nlong=0\ntitle=@\n" + untouched);
        }
    }

    TEST_CASE("any user may set a title while there is one thread") {
        const std::string text =
            without_first_line(report({"--unprivileged", "first", "the second"}));
        const std::string refused = "possible=0 privileged=0\ntitle=@\ntitle=@\n";
        const std::string done = "possible=1 privileged=0\ntitle=first|\ntitle=the second|\n";
        CHECK(text == (text.starts_with("possible=1") ? done : refused) + untouched);
    }

    TEST_CASE("with other threads nothing moves the end of the heap under them") {
        CHECK(report({"--unprivileged", "--thread", "first"})
                  .ends_with(" privileged=0\ntitle=@\n" + untouched));
        CHECK(report({"--thread", "first"}).ends_with("\ntitle=@\n" + untouched));
    }

    TEST_CASE("a later title is cut where its end cannot be moved") {
        const std::string unprivileged = without_first_line(
            report({"--unprivileged", "first", "--thread", "2nd", "the third", "4"}));
        const std::string refused = "title=@\ntitle=@\ntitle=@\ntitle=@\n";
        const std::string done = "title=first|\ntitle=2nd|||\ntitle=the t|\ntitle=4|||||\n";
        CHECK(unprivileged == (unprivileged.starts_with("possible=1")
                                   ? "possible=1 privileged=0\n" + done
                                   : "possible=0 privileged=0\n" + refused) +
                                  untouched);
        const std::string privileged = report({"first", "--thread", "2nd", "the third", "4"});
        CHECK(privileged == (privileged.starts_with("possible=1") ? "possible=1\n" + done
                                                                  : "possible=0\n" + refused) +
                                untouched);
    }

    TEST_CASE("nothing happens where the system refuses") {
        const std::string text = without_first_line(report({"--refused", "first", "second"}));
        if (text.starts_with("refused=1\n")) {
            CHECK(text == "refused=1\ntitle=@\ntitle=@\n" + untouched);
        } else {
            MESSAGE("skipped: the system refuses seccomp filters");
        }
    }

    TEST_CASE("the name of a thread is cut to 15 bytes") {
        const std::string text =
            without_first_line(report({"--name", "worker", "--name", "0123456789abcdefgh"}));
        CHECK(text == "name=worker\nname=0123456789abcde\n" + untouched);
    }
}
