# SPDX-License-Identifier: MIT
"""The CPU time of a short connection, as exactly as a shared machine allows.

A run of a second meets the machine at one speed or at another, and so do the ratios of two such
runs. Turns of a twentieth of a second in random order meet it at the same: of a few hundred the
median ratio is known to half a percent. "raw again" tells.
"""

import json
import random
import subprocess

from .. import servers, tools
from ..load import client_seconds
from ..model import Column, Goal, Samples, Section
from ..processes import run_time, started, stop, tree_of

CONNECTIONS, CONCURRENCY, TURNS_PER_ROUND = 1500, 64, 20
BASE = "raw reuseport"
COLUMNS = [
    Column("server_us", "server CPU us", 2, ratio=True),
    Column("client_us", "client CPU us", 2),
    Column("both_us", "both", 2, ratio=True),
]


def turn(client, server, pids):
    """Microseconds of CPU per connection, or {} if one of them failed."""
    server_before, client_before = run_time(pids), client_seconds()
    done = subprocess.run(
        [client, "--json", "--port", str(server.port), "--connections", str(CONNECTIONS),
         "--concurrency", str(CONCURRENCY)], capture_output=True, text=True, check=False)
    used, spent = run_time(pids) - server_before, 1e6 * (client_seconds() - client_before)
    if done.returncode != 0 or json.loads(done.stdout)["ok"] != CONNECTIONS:
        tools.say(f"{server.name}: {(done.stderr or done.stdout).strip()[-200:]}")
        return {}
    return {"server_us": used / CONNECTIONS, "client_us": spent / CONNECTIONS,
            "both_us": (used + spent) / CONNECTIONS}


def cost(options):
    """CPU per short connection of every scheduling model, exactly: many small turns"""
    client = tools.limit(options, "connections")
    if not client:
        return []
    workers = options.workers
    running = started([
        *(servers.raw(options, name, workers) for name in ("reuseport", "turns", "fdpass",
                                                           "acked")),
        *(servers.ready(options, name, workers) for name in options.scheduling),
        servers.raw(options, "reuseport", workers, "raw again"),
    ], options)
    samples = Samples()
    trees = {server.name: list(tree_of(server.process.pid)) for server in running}
    for server in running:
        turn(client, server, trees[server.name])

    def turns():
        for _ in range(TURNS_PER_ROUND):
            for server in random.sample(running, len(running)):
                got = turn(client, server, trees[server.name])
                samples.add(server.name, server.role,
                            {column.key: got.get(column.key) for column in COLUMNS})

    tools.with_rounds(options, [turns])
    stop(running)
    names = [server.name for server in running]
    rows = sorted(samples.list(), key=lambda row: names.index(row.name))
    in_kernel = [name for name in options.scheduling if name.endswith("_kernel")]
    goals = [
        # The library alone, without an example's HTTP; and hand-out with its guarantee.
        *(Goal(f"ready {name}", BASE, "server_us", "<=", 1.05)
          for name in ["reuse_port", *in_kernel]),
        *(Goal("ready round_robin", base, "server_us", "<=", 1.1) for base in ("raw acked",
                                                                             "raw fdpass")),
    ]
    title = (f"CPU of a short connection, {CONCURRENCY} at a time, {workers} workers, "
             f"{CONNECTIONS:,} in a turn")
    return [Section(title, COLUMNS, rows, BASE, "server_us", goals)]
