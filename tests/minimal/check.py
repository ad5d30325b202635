#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Policies that a program does not name leave nothing in it: check.py NM PROGRAM, of main.cpp beside this file."""

import pathlib
import re
import subprocess
import sys

INCLUDE = pathlib.Path(__file__).parents[2] / "include/cluster"
# The library speaks `binary` itself, to its own workers.
USED = {"round_robin", "raw", "binary", "never", "process", "concept"}
OTHERS = [f"{kind}::{model.stem}" for kind in ("scheduling", "serialization", "restart", "backend")
          for model in (INCLUDE / kind).glob("*.hpp") if model.stem not in USED]
# What only other policies, or parts of the library that the program does not touch, need.
ABSENT = ["thread_pool", "process_pool", "task_future", "thread_engine", "process_engine", "deadline_watch",
          "bus_node", "bus_bridge", "bus_requests", "local_bus", "sticky_registry", "shared_map", "shared_counters",
          "message_port", "message_channel", "broadcast_channel", "zygote", "worker_thread", "thread_queues", "thread_carrier", "ring_carrier", "ring_mapping",
          "os::bpf", "os::steering", "client_filter", "rendezvous", "child_core", "program_port", "os::sandbox"]


def main():
    done = subprocess.run([sys.argv[1], "-C", sys.argv[2]], capture_output=True, text=True, check=True)
    # "address type name"; undefined ones have no address.
    symbols = [line.split(maxsplit=2)[1:] for line in done.stdout.splitlines() if re.match(r"[0-9a-f]+ \w ", line)]
    # The standard library's constants about a class (std::is_..._v) are not the class: newer ones are symbols of their
    # own when nothing is optimised.
    names = [name for kind, name in symbols if kind in "tTW" or not name.startswith("std::")]
    ours = [name.replace("cluster::v0::", "cluster::") for name in names if "cluster::" in name]
    if not any("cluster::scheduling::round_robin" in name for name in ours):
        print("no symbol of round_robin: the check sees nothing")
        return 1
    foreign = [name for name in ours if re.search(rf"\b(?:{'|'.join(OTHERS + ABSENT)})\b", name)]
    print("\n".join(foreign) or f"{len(ours)} symbols of the library, none of what is not used")
    return 1 if foreign else 0


sys.exit(main())
