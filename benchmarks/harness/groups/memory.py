# SPDX-License-Identifier: MIT
"""Private memory: of a worker that does nothing, and of a connection on which nothing happens."""

import socket
import time

from .. import servers, tools
from ..model import OURS, RAW, Column, Goal, Row, Samples, Section, median
from ..processes import Server, name_of, private_kib, started, stop

CONNECTIONS = 1000
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def idle_workers(options):
    raw, serve = tools.limit(options, "recovery"), tools.program(options, "workers/serve")
    if not raw or not serve:
        return []
    samples = Samples()
    # Some starts: in each, where the stack begins in its page decides on a page more or less.
    tools.with_rounds(options, [lambda: sample_idle_workers(options, raw, serve, samples)])
    rows = samples.list()
    goals = [Goal("ours process", "raw exec", "kib", "<=", 1.5),
             Goal("ours fork", "raw fork", "kib", "<=", 1.5)]
    columns = [Column("kib", "KiB of a worker", ratio=True), Column("primary", "of its primary")]
    return [Section("Private memory of an idle worker", columns, rows, "raw exec", "kib", goals,
                    True)]


def sample_idle_workers(options, raw, serve, samples):
    running = started([
        Server("raw exec", RAW, [raw, "--program", serve]),
        Server("raw fork", RAW, [raw]),
        Server("ours process", OURS, [serve, "--workers", 4]),
        Server("ours fork", OURS, [serve, "--workers", 4, "--backend", "fork"]),
        servers.nginx(options, 4, ""),
        servers.gunicorn(options, "sync", 4),
        servers.node(options, "rr", 4),
    ], options)
    time.sleep(1)  # what they do after their start is done
    for server in running:
        # What the others are copies of, and the copy that waits for its turn, are no workers.
        sizes = [private_kib(pid) for pid in server.workers() if name_of(pid) != "zygote"]
        samples.add(server.name, server.role, {"kib": median(sizes),
                                               "primary": private_kib(server.process.pid)})
    stop(running)


def answered(port):
    """A connection that has had its answer and stays open."""
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(REQUEST)
    text = b""
    while b"\r\n\r\n" not in text or not text.endswith(b"\n"):
        if not (part := client.recv(4096)):
            raise ConnectionError("closed")
        text += part
    return client


def per_connection(server):
    """Bytes of all its processes that 1,000 idle connections take, over their number."""
    def memory():
        return sum(private_kib(pid) or 0 for pid in [server.process.pid, *server.workers()])

    warm = [answered(server.port) for _ in range(8)]
    before = memory()
    held = [answered(server.port) for _ in range(CONNECTIONS)]
    after = memory()
    for client in [*warm, *held]:
        client.close()
    return (after - before) * 1024 / CONNECTIONS


def idle_connections(options):
    running = started([
        servers.raw(options, "single", 1),
        servers.ready(options, "round_robin", 1),
        servers.ready(options, "reuse_port", 1),
        servers.ours(options, "round_robin", 1),
        servers.nginx(options, 1, "Hello from worker 1\\n"),
        servers.haproxy(options, 1),
        servers.node(options, "rr", 1),
    ], options)
    rows = []
    for server in running:
        try:
            rows.append(Row(server.name, server.role, {"bytes": [per_connection(server)]}))
        except OSError as error:
            tools.skip(f"{server.name}, idle connections", str(error))
    stop(running)
    return [Section(f"Private memory of an idle connection, {CONNECTIONS:,} kept alive",
                    [Column("bytes", "bytes", ratio=True)], rows, "raw single", "bytes",
                    headline=True)]


def memory(options):
    """private memory of an idle worker and of an idle connection"""
    return [*idle_workers(options), *idle_connections(options)]
