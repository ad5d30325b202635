# SPDX-License-Identifier: MIT
"""Messages between two processes: every program of benchmarks/messages beside the raw channels.

Each prints a line of JSON for each cell: {"what": …, "way": "one way …" | "round trip", "bytes": …,
"per_second": …, "cpu_ns": …, "spins": …}; what of it is ours is printed by ours.cpp.
"""

from .. import tools
from ..model import OURS, PEER, RAW, Column, Goal, Samples, Section
from ..tools import ROOT

SECONDS = 0.3  # of each of the runs of a cell
SIZES = (64, 1024, 65536)
LONGEST = 20  # seconds for a program and a cell, of which it takes a third; nng hangs now and then

# What a program of a peer needs: (header, Debian package, what to link).
NEEDS = {
    "zeromq": ("zmq.h", "libzmq3-dev", ("-lzmq",)),
    "nng": ("nng/nng.h", "libnng-dev", ("-lnng",)),
    "boost_interprocess": ("boost/interprocess/ipc/message_queue.hpp", "libboost-dev", ("-lrt",)),
}


def programs(options):
    """The command of each, raw ones first."""
    yield RAW, [tools.limit(options, "channel_socket")]
    if (ROOT / "benchmarks/limits/channel_ring.cpp").exists():
        yield RAW, [tools.limit(options, "channel_ring")]
    for path in sorted((ROOT / "benchmarks/messages").glob("*.cpp")):
        header, package, extra = NEEDS.get(path.stem, ("", "", ()))
        if not header or tools.peer(options, path.stem, package, header=header):
            program = tools.program(options, f"messages/{path.stem}", extra)
            yield OURS if path.stem == "ours" else PEER, [program]
    for path in sorted((ROOT / "benchmarks/messages").glob("*.js")):
        if tools.peer(options, "Node.js", "nodejs", program="node"):
            yield PEER, ["node", path]


def best(rows, role, key, wanted=lambda row: True):
    """The name of the best row of a role; empty if there is none."""
    rows = [row for row in rows if row.role == role and wanted(row)]
    choose = max if key == "per_second" else min
    return choose(rows, key=lambda row: row.value(key)).name if rows else ""


def one_way_goals(rows, size):
    def is_ring(row):
        return "ring" in row.name or "shared memory" in row.name

    def is_socket(row):
        return not is_ring(row) and "thread" not in row.name

    ring = best(rows, RAW, "per_second", is_ring)
    socket = best(rows, RAW, "per_second", is_socket)
    ours = best(rows, OURS, "per_second", is_ring)
    plain = best(rows, OURS, "per_second", is_socket)
    goals = []
    if size == 64:
        goals += [Goal(ours, ring, "per_second", ">=", 0.6),
                  Goal(plain, socket, "per_second", ">=", 0.8)]
        for peer, times in (("json", 25), ("zmq", 3), ("zeromq", 3)):
            goals += [Goal(ours, row.name, "per_second", ">=", times) for row in rows
                      if row.role == PEER and peer in row.name.lower()]
    elif size == 65536:
        goals.append(Goal(ours, ring, "per_second", ">=", 0.8))
    return [goal for goal in goals if goal.of and goal.to]


# What a round trip of ours may take of that of the same kind of channel without a library.
ROUND_TRIPS = (("cluster shared memory", "raw ring", 1.2),
               ("cluster socket", "raw socket, epoll", 1.2),
               ("cluster shared memory, spinning", "raw ring, spinning", 2))


def round_trip_goals(rows):
    names = {row.name for row in rows}
    return [Goal(ours, raw, "us", "<=", limit) for ours, raw, limit in ROUND_TRIPS
            if {ours, raw} <= names]


def messages(options):
    """one way and round trip between two processes, of three sizes"""
    commands = [(role, command) for role, command in programs(options) if command[0]]
    cells = {}  # (way, bytes): samples

    def turn(role, command, way, size):
        cell = ["--seconds", SECONDS, "--way", way, "--bytes", size]
        for line in tools.lines_of(*command, *cell, longest=LONGEST):
            values = {"per_second": line["per_second"], "cpu_ns": line["cpu_ns"],
                      "us": line.get("p50_us", 1e6 / line["per_second"])}
            of = cells.setdefault((line["way"], line["bytes"]), Samples())
            spins = line.get("spins", False)
            of.add(line["what"] + (", spinning" if spins else ""), role, values,
                   "spins" if spins else "")

    # All programs at one cell, then the next: what is compared is measured within seconds.
    tools.with_rounds(options, [lambda r=role, c=command, w=way, s=size: turn(r, c, w, s)
                                for way in ("one way", "round trip") for size in SIZES
                                for role, command in commands])
    result = []
    for (way, size), samples in sorted(cells.items()):
        rows = samples.list()
        if way.startswith("one way ") and ("one way", size) in cells:  # for others, it is one
            rows = [row for row in cells["one way", size].list() if row.role != OURS] + rows
        title = f"Messages between two processes, {way}, {size:,} bytes"
        cpu = Column("cpu_ns", "CPU ns of both")
        if way.startswith("one way"):
            base = best(rows, RAW, "per_second")
            columns = [Column("per_second", "messages/s", ratio=True), cpu]
            goals, chart = one_way_goals(rows, size), "per_second"
        else:
            base = best(rows, RAW, "us", lambda row: row.note != "spins")
            columns = [Column("us", "us", 2, ratio=True), cpu]
            goals, chart = round_trip_goals(rows), "us"
        headline = (way, size) in (("one way", 64), ("one way", 65536), ("round trip", 64))
        result.append(Section(title, columns, rows, base, chart, goals, headline))
    return result
