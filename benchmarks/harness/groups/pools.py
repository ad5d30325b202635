# SPDX-License-Identifier: MIT
"""Pools of threads and of processes."""

import sys

from .. import tools
from ..model import OURS, PEER, RAW, Column, Goal, Samples, Section
from ..tools import ROOT

COLUMNS = [Column("per_second", "tasks/s", ratio=True), Column("cpu_ns", "CPU ns/task")]
RING = "raw ring per worker"
THREADS, PROCESSES = "cluster::thread_pool", "cluster::process_pool"

# header: (name, Debian package)
PEERS = {
    "tbb/task_arena.h": ("oneTBB", "libtbb-dev"),
    "asio.hpp": ("Asio", "libasio-dev"),
    "BS_thread_pool.hpp": ("BS::thread_pool", ""),
    "taskflow/taskflow.hpp": ("Taskflow", ""),
}


def threads(options):
    """The programs that can be built measure all pools in turn, as often as there are rounds."""
    there = {header: tools.peer(options, name, package, header=header)
             for header, (name, package) in PEERS.items()}
    tbb = ("-Wl,--no-as-needed", "-ltbb") if there["tbb/task_arena.h"] else ("-DWITHOUT_TBB",)
    program = tools.program(options, "pools/thread_pools", tbb)
    ring = tools.limit(options, "ring_threads")
    cells = {}

    def turn(command, role_of):
        for line in tools.lines_of(*command):
            cell = (line["task_us"], line["futures"], line["producers"])
            cells.setdefault(cell, Samples()).add(line["pool"], role_of(line["pool"]), line)

    turns = []
    if ring:
        turns.append(lambda: turn([ring], lambda name: RAW))
    if program:
        turns.append(lambda: turn([program, 1],
                                  lambda name: OURS if name == THREADS else PEER))
    tools.with_rounds(options, turns)
    result = []
    for (task_us, futures, producers), samples in sorted(cells.items()):
        task = f"tasks of {task_us} us" if task_us else "empty tasks"
        title = (f"Thread pools, 2 workers, {producers} producer{'s' * (producers > 1)}, {task}, "
                 f"{'with futures' if futures else 'posted'}")
        rows = samples.list()
        peer = best_library(rows)
        goals = [Goal(THREADS, peer, "per_second", ">=", 1.0)] if peer else []
        goals.append(Goal(THREADS, RING, "per_second", ">=", 0.8))
        headline = task_us == 0 and producers == 1
        result.append(Section(title, COLUMNS, rows, peer if futures else RING, "per_second", goals,
                              headline))
    return result


def best_library(rows):
    """The peer with the best rate; the pool that anybody writes in an hour is none."""
    libraries = [row for row in rows if row.role == PEER and "mutex" not in row.name]
    return max(libraries, key=lambda row: row.value("per_second")).name if libraries else ""


def processes(options):
    commands = [
        (RAW, [tools.limit(options, "ring_pool")]),
        (OURS, [tools.program(options, "pools/process_pool")]),
        (PEER, [sys.executable, ROOT / "benchmarks/pools/process_pool_executor.py"]),
    ]
    if tools.peer(options, "Node.js", "nodejs", program="node"):
        commands.append((PEER, ["node", ROOT / "benchmarks/pools/child_process.js"]))
    node = tools.node_peer(options, "Piscina", "piscina")
    if node:
        commands.append((PEER, ["node", ROOT / "benchmarks/pools/piscina.js"]))
    samples = Samples()

    def turn(role, command):
        for line in tools.lines_of(*command, environment=node):
            samples.add(line["pool"], role, line)

    tools.with_rounds(options, [lambda r=role, c=command: turn(r, c)
                                for role, command in commands if command[0]])
    ours = f"{PROCESSES} callbacks, 64 in flight"
    goals = [Goal(ours, RING, "per_second", ">=", 0.8),
             Goal(ours, "Node child_process", "per_second", ">=", 8),
             Goal(f"{PROCESSES} futures", f"{RING}, std::promise", "per_second", ">=", 0.8),
             Goal(f"{PROCESSES} futures", "Python ProcessPoolExecutor futures", "per_second", ">=",
                  100)]
    return Section("Process pools, 2 workers, empty tasks", COLUMNS, samples.list(),
                   RING, "per_second", goals, True)


def pools(options):
    """thread_pool and process_pool: tasks per second and CPU per task"""
    return [*threads(options), processes(options)]
