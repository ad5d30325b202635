#!/usr/bin/env python3
"""examples/adapters/grpc.cpp under clients (grpc_client.cpp) while its workers die."""
import os
import re
import subprocess
import sys
import threading

import killed_workers
from killed_workers import PATIENCE

CLIENT = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "adapter_grpc_client")


def run(port, calls):
    """How many of the calls were cut and made again."""
    result = subprocess.run([CLIENT, str(port), str(calls)], capture_output=True, text=True, timeout=2 * PATIENCE)
    assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
    found = re.match(r"(\d+) answered, (\d+) cut, as ipv[46]:.*127\.0\.0\.1", result.stdout)
    assert found and int(found[1]) == calls, result.stdout
    return int(found[2])


def ask(port):
    run(port, 20)


def long_channel_survives_reloads(server):
    cut = []
    client = threading.Thread(target=lambda: cut.append(run(server.port, 3000)))
    client.start()
    for _ in range(2):
        server.reload()
    server.kill_one()
    client.join(2 * PATIENCE)
    assert cut, "a client failed"
    print(f"one channel, 3000 calls, two reloads, one death: {cut[0]} cut")


killed_workers.drive(ask, long_channel_survives_reloads, reload_cuts=True, checks=10, kills_beside=1)
