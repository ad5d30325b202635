# SPDX-License-Identifier: MIT
"""What it costs to include a header: preprocessed lines, and the compiler's user CPU time."""

import re
import resource
import shutil
import subprocess

from .. import tools
from ..model import OURS, PEER, RAW, Column, Goal, Row, Samples, Section
from ..tools import ROOT

BASE = "<iostream>"

# Of ours, the folder that it is in, too.
OURS_HEADERS = [("cluster.hpp", "include"), ("cluster.hpp", "include/single")]
OURS_HEADERS += [(f"cluster/{part}.hpp", "include")
         for part in ("event_loop", "net/server", "child/exec", "pool", "basic_cluster",
                      "bus/bus_node", "channels/message_channel")]
STANDARD = ["vector", "string", "memory", "functional", "algorithm", "chrono", "mutex", "thread",
            "future", "ranges", "filesystem", "regex"]
PEERS = ["asio/thread_pool.hpp", "asio.hpp", "boost/asio.hpp", "boost/beast.hpp",
         "nlohmann/json.hpp", "httplib.h", "zmq.hpp", "BS_thread_pool.hpp",
         "taskflow/taskflow.hpp", "tbb/tbb.h"]


COMPILERS = [f"{name}{version}" for name in ("g++", "clang++")
             for version in ("", *(f"-{number}" for number in range(12, 31)))]
LIBRARIES = ["libstdc++", "libc++"]


class Header:
    def __init__(self, name, folder=None):
        self.name = f"<{name}>" + (", single" if folder == "include/single" else "")
        self.role = OURS if folder else PEER if name in PEERS else RAW
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


def measure(options):
    """The headers that are there, compiled in turn."""
    headers = [Header("iostream"), *(Header(name, folder) for name, folder in OURS_HEADERS),
               *(Header(name) for name in (*STANDARD, *PEERS))]
    there = []
    for header in headers:
        if header.preprocess(options.compiler) and header.compile(options.compiler):
            header.seconds.clear()  # that was a warm-up, too
            there.append(header)
        else:
            tools.skip(header.name, "not installed, or it does not compile alone")
    tools.with_rounds(options, [lambda header=header: header.compile(options.compiler)
                                for header in there])
    return there


def by_compiler():
    """The umbrella header with every compiler that is there, and each standard library of Clang's."""
    samples, seen = Samples(), set()
    for compiler in COMPILERS:
        if not shutil.which(compiler):
            continue
        told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
        kind = "GCC" if compiler.startswith("g++") else "Clang"
        version = f"{kind} {re.search(r'[0-9]+[.][0-9]+[.][0-9]+', told.stdout).group()}"
        if version in seen:
            continue
        seen.add(version)
        for library in LIBRARIES[:1 if kind == "GCC" else 2]:
            flag = [f"-stdlib={library}"] * (kind == "Clang")
            base, ours = Header("iostream"), Header(*OURS_HEADERS[0])
            base.flags += flag
            ours.flags += flag
            if base.preprocess(compiler) and ours.preprocess(compiler):
                samples.add(f"{version}, {library}", OURS, {
                    "times": ours.lines / base.lines, "lines": ours.lines, "base": base.lines})
    columns = [Column("times", "times <iostream>", 2), Column("lines", "lines"),
               Column("base", "lines of <iostream>")]
    return Section("Include cost of <cluster.hpp>, by compiler and standard library", columns,
                   samples.list(), "", "times")


def include(options):
    """what an #include of a header costs: lines, and the compiler's CPU time"""
    rows = [Row(header.name, header.role, {
        "cpu_ms": [1000 * each for each in header.seconds],
        "lines": [header.lines],
        "all_lines": [header.all_lines],
    }) for header in measure(options)]
    columns = [Column("cpu_ms", "CPU ms", ratio=True), Column("lines", "lines", ratio=True),
               Column("all_lines", "with blank ones", ratio=True)]
    goals = [Goal(name, BASE, "lines", "<=", 2.7)
             for name in ("<cluster.hpp>", "<cluster.hpp>, single")]
    return [Section("Include cost, each header alone", columns, rows, BASE, "lines", goals,
                    True), by_compiler()]
