# SPDX-License-Identifier: MIT
"""What it costs to include a header: preprocessed lines, and the compiler's user CPU time."""

import pathlib
import resource
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = "iostream"

# Of ours, the folder that it is in, too.
OURS = [("cluster.hpp", "include"), ("cluster.hpp", "include/single")]
OURS += [(f"cluster/{part}.hpp", "include")
         for part in ("event_loop", "net/server", "child/exec", "pool", "basic_cluster",
                      "bus/bus_node", "channels/message_channel")]
STANDARD = ["vector", "string", "memory", "functional", "algorithm", "chrono", "mutex", "thread",
            "future", "ranges", "filesystem", "regex"]
PEERS = ["asio/thread_pool.hpp", "asio.hpp", "boost/asio.hpp", "boost/beast.hpp",
         "nlohmann/json.hpp", "httplib.h", "zmq.hpp", "BS_thread_pool.hpp",
         "taskflow/taskflow.hpp", "tbb/tbb.h"]


class Header:
    def __init__(self, name, folder=None):
        self.name = name + (", single" if folder == "include/single" else "")
        # Boost.Asio before 1.75 uses std::exchange without its header.
        first = "#include <utility>\n" if name.startswith("boost/") else ""
        self.source = f"{first}#include <{name}>\n"
        self.flags = [f"-I{ROOT / folder}"] if folder else []
        self.all_lines = self.lines = 0
        self.seconds = []

    def run(self, compiler, *flags):
        command = [compiler, "-std=c++20", "-O0", "-w", *self.flags, *flags, "-x", "c++", "-"]
        return subprocess.run(
            command, input=self.source, capture_output=True, text=True, check=False
        )

    def preprocess(self, compiler):
        """False if the header is not there."""
        done = self.run(compiler, "-E")
        lines = done.stdout.splitlines()
        self.all_lines = len(lines)
        self.lines = sum(1 for line in lines if line.strip() and not line.startswith("#"))
        return done.returncode == 0

    def compile(self, compiler):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = self.run(compiler, "-fsyntax-only")
        if done.returncode == 0:
            self.seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        return done.returncode == 0


def measure(compiler, rounds, say):
    """A row for each header that is there: lines and time, and both over those of <iostream>."""
    headers = [Header(BASE), *(Header(name, folder) for name, folder in OURS),
               *(Header(name) for name in (*STANDARD, *PEERS))]
    there = []
    for header in headers:
        if header.preprocess(compiler) and header.compile(compiler):  # a warm-up, too
            header.seconds.clear()
            there.append(header)
        else:
            say(f"<{header.name}>: not installed, or it does not compile alone")
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for header in there:
            header.compile(compiler)
    base = there[0]
    return [{
        "header": header.name,
        "lines": header.lines,
        "lines_ratio": header.lines / base.lines,
        "all_lines": header.all_lines,
        "all_lines_ratio": header.all_lines / base.all_lines,
        "cpu_ms": 1000 * statistics.median(header.seconds),
        "cpu_ratio": statistics.median(a / b for a, b in zip(header.seconds, base.seconds)),
        "samples": header.seconds,
    } for header in there]
