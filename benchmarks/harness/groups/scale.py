# SPDX-License-Identifier: MIT
"""Many workers on few CPUs: that they work, and what those that do nothing cost."""

from .. import load, servers, tools
from ..model import OURS, Column, Goal, Samples, Section
from ..processes import started, stop

WORKERS = (10, 100, 1000)
SECONDS = 3

COLUMNS = [
    Column("start_cpu_us", "start, primary's CPU us each"),
    Column("start_ms", "all ready, ms"),
    Column("idle_primary_us", "idle: primary's CPU us/s"),
    Column("idle_worker_us", "a worker's", 1),
    Column("trip_cpu_ns", "round trip: primary's CPU ns", ratio=True),
    Column("trip_us", "us", 1),
    Column("broadcast_cpu_us", "broadcast CPU us"),
    Column("message_cpu_ns", "a message in: CPU ns", ratio=True),
    Column("messages_s", f"100 a second for {SECONDS} s, s", 2),
    Column("lost", "lost"),
    Column("unclean", "not ended by 0"),
    Column("end_ms", "end, ms"),
]


def whole(options, program):
    """One worker works while the others are idle; then all send, get a broadcast, and end."""
    samples = Samples()

    def turn(backend, workers):
        for line in tools.lines_of(program, "--backend", backend, "--workers", workers,
                                   "--seconds", SECONDS):
            line["lost"] = workers * 100 * SECONDS - line["received"]
            samples.add(f"ours {backend}, {workers:,}", OURS, line)

    tools.with_rounds(options, [lambda b=backend, w=workers: turn(b, w)
                                for backend in ("process", "fork") for workers in WORKERS])
    few, many = (f"{workers:,}" for workers in (WORKERS[0], WORKERS[-1]))
    goals = []
    for backend in ("process", "fork"):
        name = f"ours {backend}, {many}"
        goals += [Goal(name, f"ours {backend}, {few}", "trip_cpu_ns", "<=", 1.2),
                  Goal(name, f"ours {backend}, {few}", "message_cpu_ns", "<=", 1.2),
                  Goal(name, "", "lost", "<=", 0), Goal(name, "", "unclean", "<=", 0)]
    return Section("Many workers: start, one round trip after the other with one of them, messages "
                   "from all, end", COLUMNS, samples.list(), f"ours process, {few}", "trip_cpu_ns",
                   goals, True)


def connections(options):
    """All connections go to one worker: the first one, or by the address of its clients."""
    samples = Samples()
    for model in ("first_worker", "sticky"):
        for workers in WORKERS:
            for server in started([servers.ready(options, model, workers)], options):
                load.wrk(server, 16, 1, True)
                for _ in range(options.rounds):
                    got = load.wrk(server, 16, options.seconds, True)
                    samples.add(f"ready {model}, {workers:,}", OURS,
                                {key: got.get(key)
                                 for key in ("cpu_us", "primary_cpu_us", "rate")})
                stop([server])
    few, many = (f"ready first_worker, {workers:,}" for workers in (WORKERS[0], WORKERS[-1]))
    columns = [Column("primary_cpu_us", "primary's CPU us", 2, ratio=True),
               Column("cpu_us", "CPU us of all", 2, ratio=True), Column("rate", "conn/s")]
    goals = [Goal(many, few, "primary_cpu_us", "<=", 1.2)]
    return Section("A connection handed to one of many workers", columns, samples.list(), few,
                   "primary_cpu_us", goals)


def scale(options):
    """10, 100 and 1,000 workers: start, idle, operations among idle ones, end"""
    program = tools.program(options, "workers/scale")
    result = [whole(options, program)] if program else []
    if tools.tool("wrk", "wrk"):
        result.append(connections(options))
    return result
