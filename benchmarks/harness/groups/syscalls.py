# SPDX-License-Identifier: MIT
"""System calls per request, counted by strace, which slows a server but changes little else."""

import signal
import subprocess
import time

from .. import load, servers
from ..model import Column, Goal, Samples, Section
from ..processes import started, stop, tree_of
from ..tools import say, tool

BASE = "raw reuseport"


def calls_in(summary):
    """All calls of strace's table: share, seconds, us for each, calls, perhaps errors, name."""
    rows = [line.split() for line in summary.splitlines()]
    return sum(int(row[3]) for row in rows
               if len(row) in (5, 6) and row[3].isdigit() and row[-1] != "total")


def traced(server, connections, closes):
    """Calls per request of the whole tree; None if nobody could be traced."""
    pids = [word for pid in tree_of(server.process.pid) for word in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-c", "-f", "-q", *pids], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, text=True)
    time.sleep(0.5)  # until it has attached itself
    got = load.wrk(server, connections, 2, closes)
    tracer.send_signal(signal.SIGINT)
    text = tracer.communicate(timeout=30)[1]
    calls = calls_in(text)
    if not calls or not got:
        say(f"{server.name}: strace counted nothing: {text.strip()[-200:]}")
        return None
    return calls / got["requests"]


def syscalls(options):
    """system calls per request and per connection, by strace"""
    if not tool("wrk", "wrk") or not tool("strace", "strace"):
        return []
    workers, connections = options.workers, options.connections[0]
    running = started([
        *(servers.raw(options, name, workers) for name in ("reuseport", "fdpass", "acked")),
        *(servers.ready(options, name, workers) for name in ("reuse_port", "round_robin",
                                                           "shared_socket")),
        *(servers.ours(options, name, workers) for name in ("reuse_port", "round_robin")),
        servers.nginx(options, workers, "Hello from worker 1\\n"),
        servers.haproxy(options, workers),
        *(servers.node(options, policy, workers) for policy in ("rr", "none")),
    ], options)
    result = []
    for what, closes in (("request, kept alive", False), ("connection", True)):
        samples = Samples()
        for server in running:
            if calls := traced(server, connections, closes):
                samples.add(server.name, server.role, {"calls": calls})
        title = f"System calls per {what}, {connections} clients, {workers} workers"
        goals = [Goal("ready reuse_port", BASE, "calls", "<=", 1.1)]
        result.append(Section(title, [Column("calls", "calls", 2, ratio=True)], samples.list(),
                              BASE, "calls", goals))
    stop(running)
    return result
