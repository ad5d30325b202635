# SPDX-License-Identifier: MIT
"""HTTP load by wrk, with the CPU time of all who take part."""

import os
import re
import resource
import subprocess
import time

from .processes import cpu_of, machine_cpu
from .tools import say

UNITS = {"us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000}


def time_after(label, text):
    found = re.search(rf"{label}\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * UNITS[found[2]] if found else None


def client_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def errors_in(text):
    found = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return sum(int(each) for each in (found.groups() if found else [])) + (
        int(wrong[1]) if wrong else 0)


def wrk(server, connections, seconds, closes=False, extra=()):
    """One run: the metrics per request, or {} if it failed."""
    command = ["wrk", f"-c{connections}", f"-t{min(2, connections)}", f"-d{seconds}", "--latency"]
    if closes:
        command += ["-H", "Connection: close"]
    command += [*(str(part) for part in extra), f"http://127.0.0.1:{server.port}/"]
    client_before = client_seconds()
    machine_before, begin = machine_cpu(), time.monotonic()
    before, primary_before = cpu_of(server.process.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    elapsed = time.monotonic() - begin
    after, primary_after = cpu_of(server.process.pid)
    server_cpu, primary = after - before, primary_after - primary_before
    busy = machine_cpu() - machine_before
    client = client_seconds() - client_before
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    if done.returncode != 0 or not rate or not count or int(count[1]) == 0:
        say(f"{server.name}: wrk failed: {(done.stderr or done.stdout).strip()[-200:]}")
        return {}
    each = 1e6 / int(count[1])
    return {
        "rate": float(rate[1]),
        "p50_us": time_after("50%", done.stdout),
        "p99_us": time_after("99%", done.stdout),
        "cpu_us": server_cpu * each,
        "primary_cpu_us": primary * each,
        "worker_cpu_us": (server_cpu - primary) * each,
        "client_cpu_us": client * each,
        "other_cpu": 100 * max(0, busy - server_cpu - client) / (elapsed * os.cpu_count()),
        "errors": errors_in(done.stdout),
        "requests": int(count[1]),
    }
