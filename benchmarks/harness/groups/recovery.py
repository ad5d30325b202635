# SPDX-License-Identifier: MIT
"""From the SIGKILL of the one worker there is until another one has answered a client."""

from .. import servers, tools
from ..model import OURS, PEER, RAW, Column, Goal, Samples, Section
from ..processes import Server, started, stop

MEMORY = (10, 1000)  # MiB, of who starts the workers
SPARES = 2  # one is missing for a few milliseconds when it has been taken
COLUMNS = [Column("p50_us", "to an answer, us", ratio=True), Column("min_us", "least"),
           Column("p90_us", "p90 us"), Column("failed", "failed per kill", 2)]


def candidates(options, memory):
    raw, serve = tools.limit(options, "recovery"), tools.program(options, "workers/serve")
    if not raw or not serve:
        return
    yield Server("raw exec", RAW, [raw, "--memory", memory, "--program", serve])
    yield Server("raw exec ahead", RAW, [raw, "--memory", memory, "--program", serve, "--spares", 1])
    yield Server("raw fork", RAW, [raw, "--memory", memory])
    for scheduling in ("round_robin", "reuse_port"):
        for backend in ("process", "fork"):
            yield Server(f"ours {backend}, {scheduling}", OURS,
                         ["env", f"CLUSTER_SCHED_POLICY={scheduling}", serve, "--backend", backend,
                          "--memory", memory])
            yield Server(f"ours {backend}, {scheduling}, spares", OURS,
                         ["env", f"CLUSTER_SCHED_POLICY={scheduling}", serve, "--backend", backend,
                          "--memory", memory, "--spares", SPARES])
    if memory == MEMORY[0]:
        yield servers.nginx(options, 1, "")
        yield servers.gunicorn(options, "sync", 1)
        yield servers.node(options, "rr", 1)
        yield servers.node(options, "none", 1)


def section(options, client, memory):
    running = started(candidates(options, memory), options)
    samples = Samples()

    def turn(server):
        count = 10 if server.role == PEER or memory >= 1000 else 50
        got = tools.lines_of(client, "--port", server.port, "--count", count)
        samples.add(server.name, server.role,
                    {key: got[0][key] if got else None
                     for key in ("p50_us", "min_us", "p90_us", "failed")})

    tools.with_rounds(options, [lambda server=server: turn(server) for server in running])
    stop(running)
    goals = []
    for scheduling in ("round_robin", "reuse_port"):
        for backend, raw in (("process", "raw exec"), ("fork", "raw fork")):
            goals.append(Goal(f"ours {backend}, {scheduling}", raw, "p50_us", "<=", 1.3))
            goals.append(Goal(f"ours {backend}, {scheduling}", "", "failed", "<=", 0))
            goals.append(Goal(f"ours {backend}, {scheduling}, spares", "", "failed", "<=", 0))
        goals.append(Goal(f"ours process, {scheduling}, spares", "raw exec", "p50_us", "<=", 0.8))
    return Section(f"A killed worker until its replacement answers, primary of {memory:,} MB",
                   COLUMNS, samples.list(), "raw exec", "p50_us", goals, memory == MEMORY[0])


def recovery(options):
    """kill -9 until the replacement answers, with a primary of 10 MB and of 1 GB"""
    client = tools.program(options, "http/kill_worker")
    return [section(options, client, memory) for memory in MEMORY] if client else []
