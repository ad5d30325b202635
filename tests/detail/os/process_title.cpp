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

#if defined(__SANITIZE_THREAD__)
#    define CLUSTER_TEST_HAS_THREADS 1 // the sanitizer's own
#elif defined(__has_feature)
#    define CLUSTER_TEST_HAS_THREADS __has_feature(thread_sanitizer)
#else
#    define CLUSTER_TEST_HAS_THREADS 0
#endif

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

/// `text` without the first line, which tells what the system permits.
std::string behind_first_line(const std::string& text) {
    return text.substr(text.find('\n') + 1);
}

const std::string untouched = "arguments=1 environment=1 heap=1 variable=kept\n";

} // namespace

TEST_SUITE("detail/os/process_title") {
    TEST_CASE("a title replaces the command line and the one before it") {
        const std::string text = report({"short", "a longer title: [2]", "", "s", "--long", "end"});
        const bool possible = text.starts_with("possible=1 privileged=1\n") ||
                              (text.starts_with("possible=1") && !CLUSTER_TEST_HAS_THREADS);
        if (possible) {
            CHECK(behind_first_line(text) ==
                  "title=short|\ntitle=a longer title: [2]|\ntitle=|\ntitle=s|\nlong=1\n"
                  "title=end|\n" +
                      untouched);
        } else {
            MESSAGE("the system has no titles");
            CHECK(behind_first_line(text) ==
                  "title=@\ntitle=@\ntitle=@\ntitle=@\nlong=0\ntitle=@\n" + untouched);
        }
    }

    TEST_CASE("any user may set a title while there is one thread") {
        const std::string text = report({"--unprivileged", "first", "the second"});
        const bool possible = text.starts_with("possible=1") && !CLUSTER_TEST_HAS_THREADS;
        CHECK(behind_first_line(text) == (possible
                                              ? "privileged=0\ntitle=first|\ntitle=the second|\n"
                                              : "privileged=0\ntitle=@\ntitle=@\n") +
                                             untouched);
    }

    TEST_CASE("with other threads nothing moves the end of the heap under them") {
        const std::string text = report({"--unprivileged", "--thread", "first"});
        CHECK(behind_first_line(text) == "privileged=0\ntitle=@\n" + untouched);
    }

    TEST_CASE("a later title is cut where its end cannot be moved") {
        const std::string text =
            report({"--unprivileged", "first", "--thread", "2nd", "the third", "4"});
        const bool possible = text.starts_with("possible=1") && !CLUSTER_TEST_HAS_THREADS;
        CHECK(behind_first_line(text) ==
              (possible ? "privileged=0\ntitle=first|\ntitle=2nd|||\ntitle=the t|\ntitle=4|||||\n"
                        : "privileged=0\ntitle=@\ntitle=@\ntitle=@\ntitle=@\n") +
                  untouched);
    }

    TEST_CASE("nothing happens where the system refuses") {
        const std::string text = report({"--refused", "first", "second"});
        if (behind_first_line(text).starts_with("refused=1\n")) {
            CHECK(behind_first_line(text) == "refused=1\ntitle=@\ntitle=@\n" + untouched);
        } else {
            MESSAGE("skipped: the system refuses seccomp filters");
        }
    }

    TEST_CASE("the name of a thread is cut to 15 bytes") {
        const std::string text = report({"--name", "worker", "--name", "0123456789abcdefgh"});
        CHECK(behind_first_line(text) == "name=worker\nname=0123456789abcde\n" + untouched);
    }
}
