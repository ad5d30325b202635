# SPDX-License-Identifier: MIT
"""HTTP: kept-alive connections, one for each request, and a worker that blocks now and then."""

from .. import load, servers
from ..model import Column, Goal, Samples, Section
from ..processes import started, stop
from ..tools import tool, with_rounds

COLUMNS = [
    Column("p50_us", "p50 us"),
    Column("p99_us", "p99 us"),
    Column("cpu_us", "CPU us", 2, ratio=True),
    Column("primary_cpu_us", "of it primary", 2),
    Column("worker_cpu_us", "workers", 2),
    Column("client_cpu_us", "client CPU us", 2),
    Column("other_cpu", "other CPU %"),
    Column("errors", "errors"),
]
BASE = "raw reuseport"


def interleaved(options, running, connections, closes):
    """The rows of servers that take turns, after one warming second each."""
    samples = Samples()
    keys = [column.key for column in COLUMNS] + ["rate"]
    for server in running:
        load.wrk(server, connections, 1, closes)

    def turn(server):
        got = load.wrk(server, connections, options.seconds, closes)
        samples.add(server.name, server.role, {key: got.get(key) for key in keys})

    with_rounds(options, [lambda server=server: turn(server) for server in running])
    return [row for row in samples.list() if any(row.samples["rate"])]


def section(options, title, unit, running, connections, closes, goals):
    columns = [Column("rate", unit, ratio=True), *COLUMNS]
    rows = interleaved(options, running, connections, closes)
    headline = connections == options.connections[0]
    return Section(title, columns, rows, BASE, "cpu_us", goals, headline)


def keep_alive(options):
    """requests per second and CPU per request on kept-alive connections"""
    if not tool("wrk", "wrk"):
        return []
    workers = options.workers
    # "raw again" is the first row once more: what it differs by is noise.
    running = started([
        *(servers.raw(options, accept, workers) for accept in ("reuseport", "fdpass")),
        servers.uring(options, workers),
        *(servers.ours(options, name, workers) for name in ("reuse_port", "round_robin")),
        *(servers.ready(options, name, workers) for name in ("reuse_port", "round_robin")),
        servers.raw(options, "reuseport", workers, "raw again"),
        servers.nginx(options, workers, "Hello from worker 1\\n"),
        servers.haproxy(options, workers),
        *(servers.node(options, policy, workers) for policy in ("rr", "none")),
        servers.gunicorn(options, "gthread", workers),
    ], options)
    goals = []
    for name in ("ours reuse_port", "ours round_robin"):
        goals += [Goal(name, BASE, "rate", ">=", 0.97), Goal(name, "nginx", "rate", ">=", 1.0),
                  Goal(name, BASE, "cpu_us", "<=", 1.1)]
    result = []
    for connections in options.connections:
        title = f"HTTP keep-alive, {connections} connections, {workers} workers"
        result.append(section(options, title, "req/s", running, connections, False, goals))
    stop(running)
    return result


def short(options):
    """connections per second on every scheduling model and of the peers"""
    if not tool("wrk", "wrk"):
        return []
    workers, connections = options.workers, options.connections[0]
    running = started([
        *(servers.raw(options, name, workers) for name in ("reuseport", "turns", "fdpass",
                                                           "acked")),
        servers.uring(options, workers),
        *(servers.ours(options, name, workers) for name in ("reuse_port", "round_robin")),
        *(servers.ready(options, name, workers) for name in options.scheduling),
        servers.raw(options, "reuseport", workers, "raw again"),
        servers.nginx(options, workers, "Hello from worker 1\\n"),
        servers.haproxy(options, workers),
        *(servers.node(options, policy, workers) for policy in ("rr", "none")),
        servers.gunicorn(options, "sync", workers),
    ], options)
    title = f"Short connections, {connections} at a time, {workers} workers"
    result = [section(options, title, "conn/s", running, connections, True, [])]
    stop(running)
    return result


# One request of 200 keeps its worker from everything else for 10 ms.
BLOCKING_REQUESTS = """
local count = 0
function request()
  count = count + 1
  return wrk.format("GET", count % 200 == 0 and "/block?ms=10" or "/")
end
"""

# Those that are told of a worker's load; the others show what that is worth.
LOAD_AWARE = ("shared_socket", "least_connections", "power_of_two", "least_loaded_kernel")


def blocked(options):
    """what is left of the throughput when one worker of 4 blocks now and then"""
    if not tool("wrk", "wrk"):
        return []
    workers, connections = 4, 16
    script = servers.scratch(options, "blocked.lua", BLOCKING_REQUESTS)
    models = ("reuse_port", "round_robin", *LOAD_AWARE)
    running = started((servers.ours(options, model, workers) for model in models), options)
    samples = Samples()

    def turn(server):
        free = load.wrk(server, connections, options.seconds, True)
        held = load.wrk(server, connections, options.seconds, True, ("-s", script))
        both = free and held
        samples.add(server.name, server.role, {
            "left": held["rate"] / free["rate"] if both else None,
            **{f"free_{key}": free.get(key) for key in ("rate", "p99_us")},
            **{f"blocked_{key}": held.get(key) for key in ("rate", "p99_us")}})

    with_rounds(options, [lambda server=server: turn(server) for server in running])
    stop(running)
    columns = [Column("left", "rate left", 2), Column("free_rate", "conn/s"),
               Column("blocked_rate", "blocked conn/s"), Column("free_p99_us", "p99 us"),
               Column("blocked_p99_us", "blocked p99 us")]
    title = (f"One request of 200 blocks its worker for 10 ms: {connections} short connections at "
             f"a time, {workers} workers")
    goals = [Goal(f"ours {name}", "", "left", ">=", 0.9) for name in LOAD_AWARE]
    return [Section(title, columns, samples.list(), "", "left", goals)]
