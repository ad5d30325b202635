# SPDX-License-Identifier: MIT
"""The programs of benchmarks/micro, by Google Benchmark: time and allocations of single operations.

A benchmark is called "what it does/who does it"; the first of a section is what the others are
compared with.
"""

import json
import subprocess

from .. import tools
from ..model import OURS, PEER, RAW, Column, Samples, Section
from ..tools import ROOT

FLAGS = ("-lbenchmark",)
COLUMNS = [Column("ns", "CPU ns", 1, ratio=True), Column("allocations", "allocations", 2)]


def results(program, options):
    """The benchmarks' repetitions, which took turns in random order, in that of the program."""
    done = subprocess.run(
        [program, "--benchmark_format=json", f"--benchmark_repetitions={options.rounds}",
         "--benchmark_min_time=0.05", "--benchmark_enable_random_interleaving=true"],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tools.say(f"{program}: {done.stderr.strip()[-200:]}")
        return []
    repetitions = [each for each in json.loads(done.stdout)["benchmarks"]
                   if each["run_type"] == "iteration"]
    return sorted(repetitions, key=lambda each: each["family_index"])


def role_of(name):
    if name.startswith("ours"):
        return OURS
    return RAW if name.startswith("raw") else PEER


def micro(options):
    """single operations: CPU time and allocations of each"""
    if not tools.apt("libbenchmark-dev",
                     lambda: tools.header_is_there(options.compiler, "benchmark/benchmark.h")):
        tools.skip("micro", "Google Benchmark is not installed (Debian: libbenchmark-dev)")
        return []
    sections = {}
    for path in sorted((ROOT / "benchmarks/micro").glob("*.cpp")):
        if program := tools.program(options, f"micro/{path.stem}", FLAGS):
            tools.say(f"  {path.stem}")
            for each in results(program, options):
                what, who = each["name"].split("/")[:2]
                sections.setdefault(what, Samples()).add(who, role_of(who), {
                    "ns": each["cpu_time"], "allocations": each["allocations"]})
    result = []
    for what, samples in sections.items():
        rows = sorted(samples.list(), key=lambda row: (row.role == OURS, row.role != RAW))
        result.append(Section(what, COLUMNS, rows, rows[0].name, "ns"))
    return result
