// SPDX-License-Identifier: MIT
#include <cluster/stats.hpp> // first and alone: proves the header is self-contained

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using cluster::exit_reason;

namespace {

/// A strict reader of OpenMetrics 1.0, as far as counters, gauges, info and state sets go. Throws
/// std::runtime_error with the line that is wrong.
class open_metrics {
public:
    struct family {
        std::string type, unit, help;
        std::map<std::string, std::string> samples; ///< the value by the labels as written
    };

    explicit open_metrics(std::string_view text) {
        while (!ended_) {
            const std::size_t end = text.find('\n');
            require(end != std::string_view::npos, "the last line has an end");
            line_ = text.substr(0, end);
            text.remove_prefix(end + 1);
            rest_ = line_;
            line_.starts_with('#') ? read_metadata() : read_sample();
        }
        require(text.empty(), "nothing comes behind the end");
    }

    [[nodiscard]] const std::map<std::string, family>& families() const { return families_; }

    [[nodiscard]] std::string value(const std::string& name, const std::string& labels = "") const {
        const auto& samples = families_.at(name).samples;
        const auto found = samples.find(labels);
        return found == samples.end() ? "none" : found->second;
    }

private:
    void require(bool condition, const char* rule) const {
        if (!condition) {
            throw std::runtime_error{std::string{rule} + ": " + std::string{line_}};
        }
    }

    void expect(std::string_view token) {
        require(rest_.starts_with(token), "a token is missing");
        rest_.remove_prefix(token.size());
    }

    std::string name() {
        const auto in_name = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        };
        const auto end = std::find_if_not(rest_.begin(), rest_.end(), in_name);
        std::string result{rest_.begin(), end};
        require(!result.empty() && (result[0] < '0' || result[0] > '9'), "a name is a name");
        rest_.remove_prefix(result.size());
        return result;
    }

    void read_metadata() {
        if (line_ == "# EOF") {
            ended_ = true;
            return;
        }
        expect("# ");
        const std::string keyword = rest_.starts_with("TYPE ")   ? "TYPE"
                                    : rest_.starts_with("UNIT ") ? "UNIT"
                                                                 : "HELP";
        expect(keyword + ' ');
        const std::string of = name();
        expect(" ");
        require(!rest_.empty() && rest_.find_first_of("\\\"") == std::string_view::npos, "text");
        if (keyword == "TYPE") {
            require(families_.count(of) == 0, "a family is in one place");
            current_ = of;
            families_[of].type = rest_;
            static const std::set<std::string_view> types{"counter", "gauge", "info", "stateset"};
            require(types.count(rest_) == 1, "the type is known");
            const std::string suffix = suffix_of(families_[of].type);
            require(sample_names_.insert(of + suffix).second, "sample names do not clash");
            return;
        }
        require(of == current_, "metadata is of its family");
        family& it = families_[of];
        require(it.samples.empty(), "metadata comes first");
        std::string& text = keyword == "UNIT" ? it.unit : it.help;
        require(text.empty(), "metadata comes once");
        text = rest_;
        if (keyword == "UNIT") {
            require(of.ends_with('_' + text), "the unit ends the name");
            require(it.type == "counter" || it.type == "gauge", "the type may have a unit");
        }
    }

    static std::string suffix_of(const std::string& type) {
        return type == "counter" ? "_total" : type == "info" ? "_info" : "";
    }

    void read_sample() {
        const std::string full = name();
        family& it = families_[current_];
        require(full == current_ + suffix_of(it.type), "a sample is of its family");
        std::string labels;
        if (rest_.starts_with('{')) {
            const std::size_t before = rest_.size();
            const std::string_view start = rest_.substr(1);
            read_labels();
            labels = start.substr(0, before - rest_.size() - 2);
        }
        expect(" ");
        check_value(it.type);
        require(it.samples.emplace(labels, rest_).second, "labels are unique in a family");
    }

    void read_labels() {
        std::set<std::string> seen;
        expect("{");
        for (;;) {
            require(seen.insert(name()).second, "a label comes once");
            expect("=\"");
            while (!rest_.starts_with('"')) {
                require(!rest_.empty(), "a value ends");
                if (rest_[0] == '\\') {
                    rest_.remove_prefix(1);
                    require(!rest_.empty() &&
                                std::string_view{"\\\"n"}.find(rest_[0]) != std::string_view::npos,
                            "only three characters are escaped");
                }
                rest_.remove_prefix(1);
            }
            expect("\"");
            if (rest_.starts_with('}')) {
                expect("}");
                break;
            }
            expect(",");
        }
        require(families_[current_].type != "stateset" || seen.count(current_) == 1,
                "a state set has its own label");
    }

    void check_value(const std::string& type) {
        const std::string text{rest_};
        char* end = nullptr; // libc++ before 20 has no from_chars for it
        const double number = std::strtod(text.c_str(), &end);
        require(!text.empty() && end == text.c_str() + text.size(), "a value is a number");
        require(type != "counter" || number >= 0, "a counter is not negative");
        require(type != "info" || text == "1", "an info is 1");
        require(type != "stateset" || text == "0" || text == "1", "a state is 0 or 1");
    }

    std::map<std::string, family> families_;
    std::set<std::string> sample_names_;
    std::string current_;
    std::string_view line_;
    std::string_view rest_;
    bool ended_ = false;
};

cluster::worker_stats example_worker() {
    cluster::worker_stats worker;
    worker.id = 7;
    worker.slot = 1;
    worker.generation = 3;
    worker.pid = 4711;
    worker.name = "api";
    worker.state = "ready";
    worker.connections_accepted = 10;
    worker.connections_refused = 11;
    worker.connections_active = 12;
    worker.requests = 13;
    worker.datagrams_received = 21;
    worker.datagrams_sent = 22;
    worker.messages_sent = 14;
    worker.messages_received = 15;
    worker.bytes_sent = 16;
    worker.bytes_received = 17;
    worker.handing_over = 18;
    worker.queued_bytes = 19;
    worker.restarts = 20;
    worker.uptime = 90s;
    worker.cpu_time = 1500ms;
    worker.loop_lag = 250us;
    worker.heartbeat_age = 1ns;
    worker.resident_bytes = std::numeric_limits<std::uint64_t>::max();
    return worker;
}

cluster::cluster_stats example() {
    cluster::cluster_stats stats;
    stats.generation = 3;
    stats.uptime = 3600s + 50ms;
    stats.reloads = 2;
    stats.reloads_failed = 1;
    stats.spares = 4;
    stats.workers.push_back(example_worker());
    cluster::slot_stats slot;
    slot.slot = 1;
    slot.connections_accepted = 30;
    slot.connections_refused = 31;
    slot.requests = 32;
    slot.datagrams_received = 38;
    slot.datagrams_sent = 39;
    slot.messages_sent = 33;
    slot.messages_received = 34;
    slot.bytes_sent = 35;
    slot.bytes_received = 36;
    for (std::size_t i = 0; i < slot.ends.size(); ++i) {
        slot.ends[i] = 40 + i;
    }
    slot.restarts = 37;
    stats.slots.push_back(slot);
    stats.listeners.push_back({"127.0.0.1:80", "handed", 50, 51, 52, 53, 54, 55, "kernel"});
    stats.datagrams.push_back({"127.0.0.1:53", 60, 61, 62, 63});
    return stats;
}

/// The example with more of them, and with names that no format likes.
cluster::cluster_stats hostile() {
    cluster::cluster_stats stats = example();
    for (int first = 0; first < 256; ++first) {
        const char byte = static_cast<char>(first);
        cluster::worker_stats worker = example_worker();
        worker.id = 1000 + static_cast<std::uint32_t>(first);
        worker.name = std::string{byte} + "\"\\\n{}=,\\" + byte + "\xa0\x80" + byte;
        stats.workers.push_back(worker);
    }
    for (const char* path : {"/tmp/\xff", "/tmp/\xfe", "a\\", "\"", "\n", "# EOF", ""}) {
        stats.listeners.push_back({path, "own_socket", 1, 2, 3, 4, 5, 6, "kernel"});
    }
    return stats;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = cluster::detail::utf8_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

std::string number(std::chrono::nanoseconds time) {
    std::string text;
    cluster::detail::append_number(text, time);
    return text;
}

/// `name` as it stands in JSON.
std::string name_in_json(std::string_view name) {
    std::string text;
    cluster::detail::json_writer{text}.string(name);
    return text;
}

/// Writes `text` to the file that the variable names, to be read with other tools.
void keep(const char* variable, const std::string& text) {
    if (const char* path = std::getenv(variable)) {
        std::ofstream{path, std::ios::binary} << text;
    }
}

} // namespace

TEST_SUITE("stats") {
    TEST_CASE("JSON has every member") {
        CHECK(example().to_json() ==
              R"({"generation":3,"uptime_seconds":3600.05,"reloads":2,"reloads_failed":1,)"
              R"("spares":4,"workers":[{"id":7,"slot":1,"generation":3,"pid":4711,"name":"api",)"
              R"("state":"ready","connections_accepted":10,"connections_refused":11,)"
              R"("connections_active":12,"requests":13,"datagrams_received":21,)"
              R"("datagrams_sent":22,"messages_sent":14,)"
              R"("messages_received":15,"bytes_sent":16,"bytes_received":17,"handing_over":18,)"
              R"("queued_bytes":19,"restarts":20,"uptime_seconds":90,"cpu_time_seconds":1.5,)"
              R"("loop_lag_seconds":0.00025,"heartbeat_age_seconds":0.000000001,)"
              R"("resident_bytes":18446744073709551615}],)"
              R"("slots":[{"slot":1,"connections_accepted":30,"connections_refused":31,)"
              R"("requests":32,"datagrams_received":38,"datagrams_sent":39,)"
              R"("messages_sent":33,"messages_received":34,"bytes_sent":35,)"
              R"("bytes_received":36,"ends":{"exited":40,"signaled":41,"spawn_failed":42,)"
              R"("boot_failed":43,"unresponsive":44,"recycled":45,"unknown":46},"restarts":37}],)"
              R"("listeners":[{"address":"127.0.0.1:80","mode":"handed","waiting":50,"queue":51,)"
              R"("queue_limit":52,"backlog":53,"repaired":54,"refused":55,"steering":"kernel"}],)"
              R"("datagrams":[{"address":"127.0.0.1:53","workers":60,"queued_bytes":61,)"
              R"("queue_limit_bytes":62,"dropped":63}]})");
    }

    TEST_CASE("an empty cluster is written too") {
        CHECK(cluster::cluster_stats{}.to_json() ==
              R"({"generation":0,"uptime_seconds":0,"reloads":0,"reloads_failed":0,)"
              R"("spares":0,"workers":[],"slots":[],"listeners":[],"datagrams":[]})");
        const open_metrics read{cluster::cluster_stats{}.to_openmetrics()};
        CHECK(read.value("cluster_workers") == "0");
        CHECK(read.families().at("cluster_worker_requests").samples.empty());
    }

    TEST_CASE("items are separated") {
        cluster::cluster_stats stats = example();
        stats.workers.push_back(stats.workers[0]);
        stats.slots.push_back(stats.slots[0]);
        stats.listeners.push_back(stats.listeners[0]);
        const std::string text = stats.to_json();
        CHECK(text.find(R"(18446744073709551615},{"id":7,)") != std::string::npos);
        CHECK(text.find(R"("restarts":37},{"slot":1,)") != std::string::npos);
        CHECK(text.find(R"("steering":"kernel"},{"address":)") != std::string::npos);
    }

    TEST_CASE("seconds are exact decimal numbers") {
        CHECK(number(0ns) == "0");
        CHECK(number(1s) == "1");
        CHECK(number(10s) == "10");
        CHECK(number(100ms) == "0.1");
        CHECK(number(10ms) == "0.01");
        CHECK(number(1ns) == "0.000000001");
        CHECK(number(999'999'999ns) == "0.999999999");
        CHECK(number(-1500ms) == "-1.5");
        CHECK(number(-1ns) == "-0.000000001");
        CHECK(number(std::chrono::nanoseconds::max()) == "9223372036.854775807");
        CHECK(number(std::chrono::nanoseconds::min()) == "-9223372036.854775808");
    }

    TEST_CASE("a name in JSON is escaped and valid UTF-8") {
        CHECK(name_in_json("a\"b\\c/d") == R"("a\"b\\c/d")");
        CHECK(name_in_json({"\0\t\n\x1f\x20\x7f", 6}) == "\"\\u0000\\u0009\\u000a\\u001f \x7f\"");
        CHECK(name_in_json("Zürich €\xf0\x9f\x98\x80") == "\"Zürich €\xf0\x9f\x98\x80\"");
        const std::string bad = "\xef\xbf\xbd";
        CHECK(name_in_json("\xff"
                           "a") == '"' + bad + "a\"");
        CHECK(name_in_json("\xe2\x82") == '"' + bad + bad + '"');
        CHECK(name_in_json("\xe2\x82\"") == '"' + bad + bad + "\\\"\"");
    }

    TEST_CASE("only shortest forms of real characters are UTF-8") {
        using cluster::detail::utf8_length;
        for (const char* good : {"a",
                                 "\x7f",
                                 "\xc2\x80",
                                 "\xdf\xbf",
                                 "\xe0\xa0\x80",
                                 "\xed\x9f\xbf",
                                 "\xee\x80\x80",
                                 "\xef\xbf\xbf",
                                 "\xf0\x90\x80\x80",
                                 "\xf4\x8f\xbf\xbf"}) {
            CHECK(utf8_length(good) == std::string_view{good}.size());
        }
        for (const char* wrong : {"",
                                  "\x80",
                                  "\xbf",
                                  "\xc0\x80",
                                  "\xc1\xbf",
                                  "\xc2",
                                  "\xc2\x7f",
                                  "\xc2\xc0",
                                  "\xe0\x9f\xbf",
                                  "\xe1\x80",
                                  "\xed\xa0\x80",
                                  "\xed\xbf\xbf",
                                  "\xf0\x8f\xbf\xbf",
                                  "\xf1\x80\x80",
                                  "\xf4\x90\x80\x80",
                                  "\xf5\x80\x80\x80",
                                  "\xff"}) {
            CHECK(utf8_length(wrong) == 0);
        }
    }

    TEST_CASE("every metric is there with its labels") {
        const std::string text = example().to_openmetrics();
        keep("CLUSTER_TEST_OPENMETRICS", text);
        CHECK(text.ends_with("\n# EOF\n"));
        const open_metrics read{text};
        CHECK(read.value("cluster_generation") == "3");
        CHECK(read.value("cluster_uptime_seconds") == "3600.05");
        CHECK(read.value("cluster_reloads") == "2");
        CHECK(read.value("cluster_reloads_failed") == "1");
        CHECK(read.value("cluster_spares") == "4");
        CHECK(read.value("cluster_workers") == "1");

        const std::string worker = R"(worker="7",slot="1",generation="3")";
        CHECK(read.value("cluster_worker", worker + R"(,pid="4711",name="api")") == "1");
        const std::pair<const char*, const char*> of_worker[] = {
            {"connections_accepted", "10"},
            {"connections_refused", "11"},
            {"connections_active", "12"},
            {"connections_handing_over", "18"},
            {"requests", "13"},
            {"datagrams_received", "21"},
            {"datagrams_sent", "22"},
            {"messages_sent", "14"},
            {"messages_received", "15"},
            {"sent_bytes", "16"},
            {"received_bytes", "17"},
            {"queued_bytes", "19"},
            {"restarts", "20"},
            {"uptime_seconds", "90"},
            {"cpu_seconds", "1.5"},
            {"loop_lag_seconds", "0.00025"},
            {"heartbeat_age_seconds", "0.000000001"},
            {"resident_bytes", "18446744073709551615"}};
        for (const auto& [name, value] : of_worker) {
            CAPTURE(name);
            CHECK(read.value(std::string{"cluster_worker_"} + name, worker) == value);
        }

        const std::pair<const char*, const char*> of_slot[] = {{"connections_accepted", "30"},
                                                               {"connections_refused", "31"},
                                                               {"requests", "32"},
                                                               {"messages_sent", "33"},
                                                               {"messages_received", "34"},
                                                               {"sent_bytes", "35"},
                                                               {"received_bytes", "36"},
                                                               {"restarts", "37"}};
        for (const auto& [name, value] : of_slot) {
            CAPTURE(name);
            CHECK(read.value(std::string{"cluster_slot_"} + name, R"(slot="1")") == value);
            CHECK(read.families().at(std::string{"cluster_slot_"} + name).type == "counter");
        }
        CHECK(read.value("cluster_slot_ends", R"(slot="1",reason="exited")") == "40");
        CHECK(read.value("cluster_slot_ends", R"(slot="1",reason="spawn_failed")") == "42");
        CHECK(read.value("cluster_slot_ends", R"(slot="1",reason="unknown")") == "46");

        const std::string listener = R"(address="127.0.0.1:80",mode="handed")";
        CHECK(read.value("cluster_listener_waiting", listener) == "50");
        CHECK(read.value("cluster_listener_queue", listener) == "51");
        CHECK(read.value("cluster_listener_queue_limit", listener) == "52");
        CHECK(read.value("cluster_listener_backlog", listener) == "53");
        CHECK(read.value("cluster_listener_repaired", listener) == "54");

        const std::string socket = R"(address="127.0.0.1:53")";
        CHECK(read.value("cluster_datagram_socket_workers", socket) == "60");
        CHECK(read.value("cluster_datagram_socket_queued_bytes", socket) == "61");
        CHECK(read.value("cluster_datagram_socket_queue_limit_bytes", socket) == "62");
        CHECK(read.value("cluster_datagram_socket_dropped", socket) == "63");
    }

    TEST_CASE("a unit is told where the name has one") {
        const open_metrics read{example().to_openmetrics()};
        for (const auto& [name, family] : read.families()) {
            CAPTURE(name);
            CHECK_FALSE(family.help.empty());
            for (const std::string unit : {"seconds", "bytes"}) {
                CHECK((family.unit == unit) == name.ends_with('_' + unit));
            }
        }
        CHECK(read.families().at("cluster_worker_cpu_seconds").type == "counter");
        CHECK(read.families().at("cluster_worker_resident_bytes").type == "gauge");
    }

    TEST_CASE("one state of a worker is on") {
        cluster::cluster_stats stats = example();
        for (const char* state : {"booting", "ready", "stalled", "draining", "dead"}) {
            stats.workers[0].state = state;
            const open_metrics read{stats.to_openmetrics()};
            const auto& samples = read.families().at("cluster_worker_state").samples;
            CHECK(samples.size() == 5);
            for (const auto& [labels, value] : samples) {
                CHECK((value == "1") == labels.ends_with('"' + std::string{state} + '"'));
            }
        }
    }

    TEST_CASE("hostile names break neither format") {
        const std::string json = hostile().to_json();
        keep("CLUSTER_TEST_HOSTILE_JSON", json);
        CHECK(is_utf8(json));
        CHECK(std::none_of(
            json.begin(), json.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
        const std::string text = hostile().to_openmetrics();
        keep("CLUSTER_TEST_HOSTILE_OPENMETRICS", text);
        CHECK(is_utf8(text));
        const open_metrics read{text};
        CHECK(read.families().at("cluster_worker").samples.size() == 257);
        CHECK(read.value("cluster_worker",
                         R"(worker="1065",slot="1",generation="3",pid="4711",)"
                         "name=\"A\\\"\\\\\\n{}=,\\\\A\xef\xbf\xbd\xef\xbf\xbd"
                         "A\"") == "1");
        CHECK(read.value("cluster_listener_queue", R"(address="\n",mode="own_socket")") == "2");
    }

    TEST_CASE("datagram sockets on one address are one in metrics") {
        cluster::cluster_stats stats = example();
        stats.datagrams.push_back({"127.0.0.1:53", 1, 2, 3, 4});
        const open_metrics read{stats.to_openmetrics()};
        const std::string socket = R"(address="127.0.0.1:53")";
        CHECK(read.value("cluster_datagram_socket_workers", socket) == "61");
        CHECK(read.value("cluster_datagram_socket_dropped", socket) == "67");
    }

    TEST_CASE("listeners that look the same are one in metrics") {
        const open_metrics read{hostile().to_openmetrics()};
        const std::string labels = "address=\"/tmp/\xef\xbf\xbd\",mode=\"own_socket\"";
        CHECK(read.value("cluster_listener_waiting", labels) == "2");
        CHECK(read.value("cluster_listener_queue", labels) == "4");
        CHECK(read.value("cluster_listener_queue_limit", labels) == "6");
        CHECK(read.value("cluster_listener_backlog", labels) == "8");
        CHECK(read.value("cluster_listener_repaired", labels) == "10");
    }

    TEST_CASE("the reader of this test sees what is wrong") {
        const std::string good = "# TYPE a counter\n# HELP a b\na_total{x=\"1\"} 1\n# EOF\n";
        CHECK_NOTHROW(open_metrics{good});
        for (const char* wrong : {
                 "",
                 "# EOF",
                 "# EOF\n\n",
                 "# TYPE a counter\na 1\n# EOF\n",
                 "# TYPE a gauge\na_total 1\n# EOF\n",
                 "# TYPE a counter\na_total -1\n# EOF\n",
                 "# TYPE a gauge\na 1\na 1\n# EOF\n",
                 "# TYPE a gauge\na 1\n# HELP a b\n# EOF\n",
                 "# TYPE a gauge\n# TYPE b gauge\na 1\n# EOF\n",
                 "# TYPE a gauge\n# TYPE a gauge\n# EOF\n",
                 "# TYPE a gauge\n# UNIT a seconds\n# EOF\n",
                 "# TYPE a counter\n# TYPE a_total gauge\n# EOF\n",
                 "# TYPE a gauge\na{x=\"\\t\"} 1\n# EOF\n",
                 "# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n# EOF\n",
                 "# TYPE a gauge\na{x=\"1\" 1\n# EOF\n",
                 "# TYPE a gauge\na one\n# EOF\n",
                 "# TYPE a stateset\na{b=\"x\"} 1\n# EOF\n",
                 "# TYPE a info\na_info 2\n# EOF\n",
             }) {
            CAPTURE(wrong);
            CHECK_THROWS_AS(open_metrics{wrong}, std::runtime_error);
        }
    }
}
