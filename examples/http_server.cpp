// SPDX-License-Identifier: MIT
// A complete HTTP server: N workers share a port, the dead are replaced, SIGTERM drains. --help
// says more.
#include <cluster.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include <csignal>

#include "http1.hpp"

namespace {

using namespace cluster::literals;

constexpr const char* usage = R"(usage: http_server [option]...

  --port N           the TCP port, default 8000; 0: one that the system picks, and the server prints
  --host HOST        the address, default: every one, IPv4 and IPv6
  --workers N        how many, default: one per available CPU
  --backend B        process (default): workers that start anew; fork: copies of this process;
                     thread: threads of it, which end together when one crashes
  --scheduling S     round_robin (default), shared_socket, reuse_port, least_connections,
                     power_of_two, weighted_round_robin, random, sticky, sticky_modulo,
                     round_robin_kernel, least_loaded_kernel or sticky_kernel; without it
                     $CLUSTER_SCHED_POLICY
  --restart R        always (default): a worker that dies is replaced; backoff: after a pause that
                     grows with quick deaths; or never
  --quiet            print nothing but "listening on HOST:PORT"
  --help             print this

  GET /              Hello from worker ID
  GET /pid           the process that answers
  GET /slow?ms=N     answers after N milliseconds; the worker serves others meanwhile
  GET /block?ms=N    answers after N milliseconds; the worker does nothing else meanwhile
  GET /crash         aborts the worker
  GET /stats         figures of the cluster, JSON
  GET /metrics       the same as OpenMetrics, for Prometheus

  SIGTERM, SIGINT    finish what is under way, 10 seconds at most, and end; a second one: at once
  SIGUSR2, SIGHUP    replace every worker by a new one that runs the program as it is on disk now
  SIGTTIN, SIGTTOU   one worker more, one less

  A service manager that sets NOTIFY_SOCKET (systemd, Type=notify) is told of all that.
)";

[[noreturn]] void reject(const std::string& complaint) {
    std::fprintf(
        stderr, "http_server: %s\nhttp_server --help lists the options\n", complaint.c_str());
    std::exit(2);
}

template <typename Number>
std::optional<Number> to_number(std::string_view text, Number least, Number most) {
    Number value{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && value >= least && value <= most ? std::optional{value} : std::nullopt;
}

// One type for all of them: the program is compiled once, not once for each model.
namespace scheduling = cluster::scheduling;
using any_scheduling = scheduling::from_environment<scheduling::round_robin,
                                                    scheduling::shared_socket,
                                                    scheduling::reuse_port,
                                                    scheduling::least_connections,
                                                    scheduling::power_of_two,
                                                    scheduling::weighted_round_robin,
                                                    scheduling::random,
                                                    scheduling::sticky<>,
                                                    scheduling::sticky_modulo,
                                                    scheduling::round_robin_kernel,
                                                    scheduling::least_loaded_kernel,
                                                    scheduling::sticky_kernel>;

struct options {
    std::string host;
    std::uint16_t port = 8000;
    unsigned workers = cluster::available_parallelism();
    std::string scheduling; // none: as the environment says
    std::string restart = "always";
    std::string backend = "process";
    bool quiet = false;
};

template <typename Number>
Number number_option(std::string_view name, std::string_view value, Number least, Number most) {
    if (auto number = to_number(value, least, most)) {
        return *number;
    }
    reject(std::string{name} + " takes a number from " + std::to_string(least) + " to " +
           std::to_string(most) + ", not '" + std::string{value} + "'");
}

std::string choice_option(std::string_view name,
                          std::string_view value,
                          std::span<const std::string_view> known) {
    std::string list;
    for (auto each : known) {
        if (value == each) {
            return std::string{value};
        }
        list += (list.empty() ? "" : ", ") + std::string{each};
    }
    reject(std::string{name} + " '" + std::string{value} + "' is not known; there is: " + list);
}

void set(options& wanted, std::string_view name, std::string_view value) {
    constexpr std::array<std::string_view, 3> restarts{"always", "backoff", "never"};
    constexpr std::array<std::string_view, 3> backends{"process", "fork", "thread"};
    if (name == "--port") {
        wanted.port = number_option<std::uint16_t>(name, value, 0, 65535);
    } else if (name == "--workers") {
        wanted.workers = number_option<unsigned>(name, value, 1, 4096);
    } else if (name == "--host") {
        wanted.host = value;
    } else if (name == "--scheduling") {
        wanted.scheduling = choice_option(name, value, any_scheduling::names);
    } else if (name == "--restart") {
        wanted.restart = choice_option(name, value, restarts);
    } else if (name == "--backend") {
        wanted.backend = choice_option(name, value, backends);
    } else {
        reject("unknown option " + std::string{name});
    }
}

// Takes "--name value" and "--name=value".
options parse(int argc, char** argv) {
    options wanted;
    for (int i = 1; i < argc; ++i) {
        std::string_view word = argv[i];
        if (word == "--help" || word == "-h") {
            std::fputs(usage, stdout);
            std::exit(0);
        }
        if (word == "--quiet") {
            wanted.quiet = true;
            continue;
        }
        auto equals = word.find('=');
        if (equals != word.npos) {
            set(wanted, word.substr(0, equals), word.substr(equals + 1));
        } else if (i + 1 < argc || !word.starts_with("--")) {
            set(wanted, word, i + 1 < argc ? argv[++i] : "");
        } else {
            reject(std::string{word} + " needs a value, or is unknown");
        }
    }
    return wanted;
}

// What a worker that cannot do its work tells the primary before it ends.
struct trouble {
    std::string text;
};

// What a worker asks the primary for, who alone knows it.
struct figures {
    bool for_prometheus = false;
};

// ---- a worker
// -------------------------------------------------------------------------------------

// The pages; one object per worker, kept by its server.
template <typename Self>
class site {
public:
    explicit site(Self& self)
        : self_{self}, hello_{200, "Hello from worker " + std::to_string(self.id()) + "\n"} {}

    void operator()(const examples::request& asked, examples::responder answer) {
        self_.count_request();
        auto path = asked.path();
        if (path == "/") {
            answer(hello_);
        } else if (path == "/pid") {
            answer({200, std::to_string(self_.pid()) + "\n"});
        } else if (path == "/stats") {
            report(std::move(answer), {false}, "application/json");
        } else if (path == "/metrics") {
            report(std::move(answer),
                   {true},
                   "application/openmetrics-text; version=1.0.0; charset=utf-8");
        } else if (path == "/crash") {
            std::abort();
        } else if (path == "/slow" || path == "/block") {
            wait(asked, std::move(answer));
        } else {
            answer({404, "there is nothing at " + std::string{path} + "\n"});
        }
    }

private:
    void wait(const examples::request& asked, examples::responder answer) {
        constexpr unsigned most = 3'600'000;
        auto milliseconds = to_number(asked.query("ms").value_or("0"), 0U, most);
        if (!milliseconds) {
            return answer({400, "ms must be a number of milliseconds, an hour at most\n"});
        }
        auto delay = std::chrono::milliseconds{*milliseconds};
        if (asked.path() == "/block") {
            std::this_thread::sleep_for(delay);
            return answer({200, "blocked\n"});
        }
        self_.after(delay, [later = std::move(answer)] { later({200, "slow\n"}); });
    }

    void report(examples::responder answer, const figures& wanted, const char* type) {
        self_.template request<std::string>(
            wanted, [later = std::move(answer), type](cluster::result<std::string> text) {
                if (text) {
                    later({200, text.value(), type});
                } else {
                    later({503, text.error().message() + "\n"});
                }
            });
    }

    Self& self_;
    const examples::response hello_; // it never changes
};

template <typename Self>
void run_worker(Self& self, const options& wanted) {
    self.on_signal(SIGINT, [] {}); // from the terminal it goes to all of us; the primary sees to it
    auto pages = std::make_shared<site<Self>>(self);
    std::error_code error;
    self.listen(
        {.host = wanted.host, .port = wanted.port},
        [&self, pages](cluster::connection client) {
            examples::serve_http(
                self, std::move(client), [pages](const auto& asked, examples::responder answer) {
                    (*pages)(asked, std::move(answer));
                });
        },
        error);
    if (error) {
        self.send(trouble{error.message()});
        self.stop(1);
    }
}

// ---- the primary
// ----------------------------------------------------------------------------------

template <typename Primary>
class supervisor {
public:
    supervisor(Primary& primary, const options& wanted) : primary_{primary}, wanted_{wanted} {
        watch_workers();
        for (int signal : {SIGTERM, SIGINT}) {
            primary_.on_signal(signal, [this] { primary_.shutdown({.deadline = 10_s}); });
        }
        for (int signal : {SIGUSR2, SIGHUP}) {
            primary_.on_signal(signal, [this] { reload(); });
        }
        primary_.on_signal(SIGTTIN, [this] { primary_.scale(++count_); });
        primary_.on_signal(SIGTTOU, [this] { primary_.scale(count_ > 1 ? --count_ : 1); });
        primary_.on_request([this](const figures& asked) {
            auto now = primary_.stats();
            return asked.for_prometheus ? now.to_openmetrics() : now.to_json() + "\n";
        });
        primary_.supervise({.hold_when_empty = true});
        tell_service_manager();
        primary_.fork(wanted_.workers);
    }

private:
    void tell_service_manager() {
        std::error_code error;
        primary_.notify_service_manager(error);
        if (error) {
            reject("NOTIFY_SOCKET or WATCHDOG_USEC: " + error.message());
        }
    }

    void watch_workers() {
        primary_.on(cluster::event::listening, [this](auto& worker, const cluster::address& at) {
            this->log("worker %u, pid %d, listens", worker.id(), worker.pid());
            this->announce_when_all_listen(at);
        });
        primary_.on(cluster::event::exit, [this](auto& worker, const cluster::exit_status& status) {
            this->log("worker %u, pid %d, ended: %s",
                      worker.id(),
                      worker.pid(),
                      status.to_string().c_str());
        });
        primary_.on(cluster::event::stalled, [this](auto& worker) {
            this->log("worker %u, pid %d, does not answer", worker.id(), worker.pid());
        });
        primary_.on(cluster::event::recovered, [this](auto& worker) {
            this->log("worker %u, pid %d, answers again", worker.id(), worker.pid());
        });
        primary_.on(cluster::event::restart,
                    [this](auto& worker, const cluster::restart_decision&) {
                        this->log("worker %u will be replaced", worker.id());
                    });
        primary_.on_message([this](auto&, const trouble& message) {
            if (!announced_ && !failed_) {
                failed_ = true;
                std::fprintf(stderr,
                             "http_server: cannot listen on %s:%d: %s\n",
                             wanted_.host.empty() ? "*" : wanted_.host.c_str(),
                             static_cast<int>(wanted_.port),
                             message.text.c_str());
                primary_.stop(1);
            }
        });
    }

    void announce_when_all_listen(const cluster::address& at) {
        for (auto& each : primary_.workers()) {
            if (announced_ || each.state() != cluster::worker_state::listening) {
                return;
            }
        }
        announced_ = true;
        std::printf("listening on %s\n", at.to_string().c_str());
        std::fflush(stdout);
    }

    void reload() {
        primary_.reload({.ready_timeout = 30_s, .drain_deadline = 30_s},
                        [this](const cluster::reload_report& report) {
                            if (report.ok()) {
                                this->log("reloaded: generation %u, %zu workers",
                                          report.generation(),
                                          report.replaced());
                            } else {
                                this->log("not reloaded: %s", report.reason().c_str());
                            }
                        });
    }

    template <typename... Args>
    void log(const char* format, Args... args) {
        if (!wanted_.quiet) {
            std::printf(format, args...);
            std::putchar('\n');
            std::fflush(stdout);
        }
    }

    Primary& primary_;
    const options& wanted_;
    unsigned count_ = wanted_.workers;
    bool announced_ = false;
    bool failed_ = false;
};

// A restart strategy of one's own: picks one of the library's when the program runs.
class chosen_restart {
public:
    void choose(const std::string& name) { name_ = name; }

    cluster::restart_decision decide(const cluster::exit_report& report) {
        if (name_ == "never") {
            return cluster::leave_dead;
        }
        return name_ == "backoff" ? backoff_.decide(report) : always_.decide(report);
    }

private:
    std::string name_;
    cluster::restart::always always_;
    cluster::restart::backoff<100_ms, 5_s> backoff_;
};
static_assert(cluster::restart_strategy<chosen_restart>);

template <typename Backend>
int serve(int argc, char** argv, const options& wanted) {
    cluster::compose<any_scheduling, chosen_restart, Backend> app{argc, argv};
    std::shared_ptr<void> kept; // as long as the loop runs
    return app.run(
        [&](auto& primary) {
            using primary_type = std::remove_reference_t<decltype(primary)>;
            if (!wanted.scheduling.empty()) {
                primary.scheduling().choose(wanted.scheduling);
            }
            primary.restart().choose(wanted.restart);
            kept = std::make_shared<supervisor<primary_type>>(primary, wanted);
        },
        [&](auto& self) { run_worker(self, wanted); });
}

} // namespace

int main(int argc, char** argv) {
    auto wanted = parse(argc, argv);
    try {
        namespace backend = cluster::backend;
        return wanted.backend == "thread" ? serve<backend::thread>(argc, argv, wanted)
               : wanted.backend == "fork" ? serve<backend::fork>(argc, argv, wanted)
                                          : serve<backend::process>(argc, argv, wanted);
    } catch (const std::invalid_argument& error) { // what the environment says
        reject(error.what());
    }
}
