# SPDX-License-Identifier: MIT
"""Requests that fail while a cluster is reloaded again and again: the soak's driver tells."""

import re
import subprocess
import sys

from .. import tools
from ..model import OURS, Column, Goal, Row, Section
from ..tools import ROOT

COLUMNS = [Column("failed", "failed requests"), Column("requests", "requests"),
           Column("reloads", "reloads"), Column("per_second", "requests/s")]
MODELS = ("round_robin", "shared_socket", "reuse_port")


def reload(options):
    """requests that fail over N reloads under load (--reloads N)"""
    server = tools.build("tests/soak/server.cpp", "soak_server", options.build, options.compiler)
    if not server:
        return []
    rows = []
    for model in MODELS:
        tools.say(f"  {model}")
        done = subprocess.run(
            [sys.executable, ROOT / "tests/soak/driver.py", server, "--reloads",
             str(options.reloads), "--every", "0.2", "--scheduling", model],
            capture_output=True, text=True, check=False)
        counts = re.search(r"(\d+) requests in .*?, (\d+)/s; (\d+) served once", done.stdout)
        succeeded = re.search(r"reloads {.*?'ok': (\d+)", done.stdout)
        if not counts or not succeeded:
            tools.skip(f"reload, {model}", (done.stdout + done.stderr).strip()[-200:])
            continue
        for line in done.stdout.splitlines():
            if "VIOLATION" in line:
                tools.say(f"  {line.strip()}")
        issued, rate, served = (int(each) for each in counts.groups())
        rows.append(Row(f"ours {model}", OURS, {
            "failed": [issued - served], "requests": [issued], "reloads": [int(succeeded[1])],
            "per_second": [rate]}, "" if done.returncode == 0 else "the ledger does not balance"))
    goals = [Goal(row.name, "", "failed", "<=", 0) for row in rows]
    title = "Reloads under load, each request on a connection of its own"
    return [Section(title, COLUMNS, rows, "", "failed", goals, True)]
