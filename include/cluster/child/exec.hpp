// SPDX-License-Identifier: MIT
#ifndef CLUSTER_CHILD_EXEC_HPP
#define CLUSTER_CHILD_EXEC_HPP

#include "../detail/move_only_function.hpp"
#include "../event_loop.hpp"
#include "../exit_status.hpp"
#include "child.hpp"
#include "spawn_options.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace cluster {
inline namespace v0 {

/// What became of a program, and what it has written.
struct exec_result {
    /// Why and how it ended; `spawn_failed` with the error when it could not be started.
    exit_status status;
    std::string standard_output;
    std::string standard_error;

    /// It exited with 0, and nothing was wrong.
    [[nodiscard]] bool ok() const noexcept { return status.success(); }
    /// Its `timeout` has ended it.
    [[nodiscard]] bool timed_out() const noexcept {
        return status.reason() == exit_reason::timed_out;
    }
    /// Its `stop` has ended it.
    [[nodiscard]] bool cancelled() const noexcept {
        return status.reason() == exit_reason::cancelled;
    }
    /// It wrote more than `max_output`; what it wrote until then is here.
    [[nodiscard]] bool exceeded_output() const noexcept {
        return status.reason() == exit_reason::output_limit;
    }
};

namespace detail {

/// A child whose output is kept until all of it is there.
class exec_core final : public child_core {
public:
    using callback = move_only_function<void(exec_result)>;

    exec_core(event_loop& loop, callback done) : child_core{loop}, done_{std::move(done)} {
        collect();
    }

    void start(spawn_options options) {
        most_ = options.max_output;
        give_input_a_pipe(options);
        set_default(options.standard_input, stdio::ignore);
        set_default(options.standard_output, stdio::pipe);
        set_default(options.standard_error, stdio::pipe);
        child_core::start(options);
        keep(1, options.standard_output, result_.standard_output);
        keep(2, options.standard_error, result_.standard_error);
    }

private:
    static void set_default(std::optional<stdio>& one, const stdio& otherwise) {
        if (!one) {
            one = otherwise;
        }
    }

    void keep(int number, const std::optional<stdio>& what, std::string& text) {
        if (what != stdio::pipe) {
            return;
        }
        auto& from = pipe(number);
        from.on_data([this, &from, &text](stream::bytes data) {
            auto room = most_ - text.size();
            text.append(reinterpret_cast<const char*>(data.data()),
                        data.size() < room ? data.size() : room);
            if (data.size() > room) {
                end(exit_reason::output_limit);
                if (has_ended()) { // it is somebody else who writes, and may do so for ever
                    from.close();
                }
            }
        });
    }

    void on_closed() override {
        result_.status = status();
        if (auto done = std::exchange(done_, {})) {
            done(std::move(result_));
        }
    }

    callback done_;
    exec_result result_;
    std::size_t most_ = 0;
};

inline child start_and_collect(event_loop& loop, spawn_options options, exec_core::callback done) {
    auto* core = new exec_core{loop, std::move(done)};
    core->start(std::move(options));
    return child_access::make(*core);
}

inline void use_shell(spawn_options& options, std::string command) {
    options.file = "/bin/sh";
    options.arguments = {"-c", std::move(command)};
}

template <typename F>
concept takes_result = std::is_invocable_v<F&, exec_result>;

} // namespace detail

/// Runs a command line by `/bin/sh -c` and calls `done(const exec_result&)` once, when it has ended
/// and its output is complete, or could not be started. The text is a program: put nothing into it
/// that others have said, use exec_file() for that.
///
/// Whoever has inherited the output keeps it incomplete, a background process for one; but a
/// `timeout`, a `stop` or too much output ends the wait with the shell. What the shell has started
/// is only killed then with `kill_tree`.
template <detail::takes_result F>
[[nodiscard("the command is killed when its handle goes")]] child
exec(event_loop& loop, std::string command, spawn_options options, F&& done) {
    detail::use_shell(options, std::move(command));
    return detail::start_and_collect(loop, std::move(options), std::forward<F>(done));
}
template <detail::takes_result F>
[[nodiscard("the command is killed when its handle goes")]] child
exec(event_loop& loop, std::string command, F&& done) {
    return exec(loop, std::move(command), {}, std::forward<F>(done));
}

/// The same for one program and its arguments, without a shell.
template <detail::takes_result F>
[[nodiscard("the program is killed when its handle goes")]] child
exec_file(event_loop& loop,
          std::string file,
          std::vector<std::string> arguments,
          spawn_options options,
          F&& done) {
    options.file = std::move(file);
    options.arguments = std::move(arguments);
    return detail::start_and_collect(loop, std::move(options), std::forward<F>(done));
}
template <detail::takes_result F>
[[nodiscard("the program is killed when its handle goes")]] child
exec_file(event_loop& loop, std::string file, std::vector<std::string> arguments, F&& done) {
    return exec_file(loop, std::move(file), std::move(arguments), {}, std::forward<F>(done));
}

/// Runs a program to its end: the blocking form of exec_file(), with a loop of its own. What goes
/// wrong is in the result.
[[nodiscard]] inline exec_result run(spawn_options options) {
    exec_result result;
    try {
        event_loop loop;
        auto one = detail::start_and_collect(
            loop, std::move(options), [&](exec_result told) { result = std::move(told); });
        loop.run();
    } catch (const std::system_error& error) { // no descriptor for the loop
        result.status = exit_status::spawn_failed(error.code());
    }
    return result;
}

/// Runs a command line to its end: the blocking form of exec().
[[nodiscard]] inline exec_result run_shell(std::string command, spawn_options options = {}) {
    detail::use_shell(options, std::move(command));
    return run(std::move(options));
}

} // namespace v0
} // namespace cluster

#endif // CLUSTER_CHILD_EXEC_HPP
