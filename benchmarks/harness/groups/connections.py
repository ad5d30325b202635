# SPDX-License-Identifier: MIT
"""Who gets the connections."""

import json
import subprocess

from .. import servers, tools
from ..model import Column, Goal, Row, Section
from ..processes import started

WORKERS, CONNECTIONS = 4, 1000

COLUMNS = [
    Column("spread", "max - min"),
    Column("max_of_min", "max/min", 2),
    Column("max_of_mean", "max/mean", 3),
    Column("cv", "cv", 3),
    Column("errors", "errors"),
    Column("ms", "ms"),
]

GOALS = [
    ("round_robin", "spread", 1),
    ("round_robin_kernel", "spread", 1),
    ("least_connections", "max_of_mean", 1.05),
    ("least_loaded_kernel", "max_of_mean", 1.05),
    ("shared_socket", "max_of_min", 1.3),
]


def counted(client, server, concurrency):
    """What each worker got of the connections; None if the client failed."""
    done = subprocess.run(
        [client, "--keep", "--json", "--port", str(server.port), "--workers", str(WORKERS),
         "--connections", str(CONNECTIONS), "--concurrency", str(concurrency)],
        capture_output=True, text=True, check=False)
    try:
        got = json.loads(done.stdout)
    except ValueError:
        tools.say(f"{server.name}: {done.stderr.strip()}")
        return None
    least, mean = got["min"], got["mean"]
    return {
        "spread": got["max"] - least,
        "max_of_min": got["max"] / least if least else float("inf"),
        "max_of_mean": got["max"] / mean if mean else float("nan"),
        "cv": got["cv"],
        "errors": CONNECTIONS - got["ok"] + got["dropped"],
        "ms": got["seconds"] * 1000,
    }, " ".join(str(count) for count in sorted(got["workers"].values()))


def fairness(options):
    """how 1,000 connections are spread over 4 workers"""
    client = tools.limit(options, "connections")
    if not client:
        return []
    arrivals = {"burst": CONNECTIONS, "sequential": 1}
    sections = {
        arrival: Section(f"Fairness, {CONNECTIONS:,} connections held open, {WORKERS} workers, "
                         f"{arrival}", COLUMNS, [],
                         goals=[Goal(f"ours {name}", "", key, "<=", limit)
                                for name, key, limit in GOALS]) for arrival in arrivals}
    sections["sequential"].chart = "max_of_mean"
    sections["sequential"].headline = True
    for server in started([
        *(servers.raw(options, accept, WORKERS) for accept in ("reuseport", "fdpass", "shared")),
        *(servers.ours(options, name, WORKERS) for name in options.scheduling
          if not name.startswith("sticky")),  # all come from one address
        servers.nginx(options, WORKERS, "worker $pid\\n"),
        *(servers.node(options, policy, WORKERS) for policy in ("rr", "none")),
    ], options):
        for arrival, concurrency in arrivals.items():
            if got := counted(client, server, concurrency):
                values, counts = got
                sections[arrival].rows.append(
                    Row(server.name, server.role, {key: [value] for key, value in values.items()},
                        counts))
        server.stop()
    return list(sections.values())
