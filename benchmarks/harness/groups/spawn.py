# SPDX-License-Identifier: MIT
"""From the call that starts a worker until it runs, by the size of who starts it."""

from .. import servers, tools
from ..model import OURS, PEER, RAW, Column, Goal, Samples, Section

MEMORY = (10, 1000)  # MiB

NODE = """
const cluster = require('cluster');
const [memory, count] = process.argv.slice(2).map(Number);
if (cluster.isPrimary) {
  const ballast = Buffer.alloc(memory << 20, 'x');
  const call = [], online = [];
  const middle = (all) => all.sort((a, b) => a - b)[Math.floor((all.length - 1) / 2)];
  const now = () => Number(process.hrtime.bigint()) / 1e3;
  const next = (left) => {
    if (left === 0) {
      console.log(JSON.stringify({ call_us: middle(call), min_us: Math.min(...online),
                                   p50_us: middle(online), ballast: ballast.length }));
      return;
    }
    const begin = now();
    const worker = cluster.fork();
    call.push(now() - begin);
    worker.on('online', () => { online.push(now() - begin); worker.process.kill('SIGKILL'); });
    worker.on('exit', () => next(left - 1));
  };
  next(count);
} else {
  setInterval(() => {}, 1000);
}
"""

COLUMNS = [Column("p50_us", "to online, us", ratio=True), Column("min_us", "least"),
           Column("call_us", "the call, us")]


def ours(program, memory, count):
    """(name, arguments) of each way that our workers start."""
    base = [program, "--memory", memory, "--count", count]
    yield "ours process", base
    yield "ours fork, loaded before", [*base, "--backend", "fork"]
    yield "ours fork, loaded after", [*base, "--backend", "fork", "--loaded", "after"]


def section(options, raw, program, memory):
    samples = Samples()
    count = 20 if memory >= 1000 else 50
    turns = []

    def raw_turn():
        for line in tools.lines_of(raw, "--json", "--count", count, "--memory", memory,
                                   "--program", program):
            samples.add(f"raw {line['name']}", RAW, line)

    def turn(name, role, command):
        for line in tools.lines_of(*command):
            samples.add(name, role, line)

    turns.append(raw_turn)
    for name, command in ours(program, memory, count):
        turns.append(lambda n=name, c=command: turn(n, OURS, c))
    if tools.peer(options, "Node.js", "nodejs", program="node"):
        script = servers.scratch(options, "spawn.js", NODE)
        turns.append(lambda: turn("Node cluster", PEER, ["node", script, memory, 8]))
    tools.with_rounds(options, turns)
    goals = [Goal("ours process", "raw posix_spawn", "p50_us", "<=", 1.3),
             Goal("ours fork, loaded before", "raw fork", "p50_us", "<=", 1.5),
             Goal("ours fork, loaded after", "raw fork", "p50_us", "<=", 1.5)]
    return Section(f"Start of a worker by a primary of {memory:,} MB", COLUMNS, samples.list(),
                   "raw posix_spawn", "p50_us", goals, True)


def independence(sections):
    """The same rows once more: what the primary's memory does to each."""
    small, large = sections
    samples = Samples()
    for row in large.rows:
        if of := small.row(row.name):
            for ratio in small.ratios(row, of, "p50_us"):
                samples.add(row.name, row.role, {"times": ratio})
    goals = [Goal("ours process", "", "times", "<=", 1.3)]
    return Section(f"Start of a worker: {MEMORY[1]:,} MB over {MEMORY[0]} MB",
                   [Column("times", "times as long", 2)], samples.list(), "", "times", goals)


def spawn(options):
    """fork() to online, with a primary of 10 MB and of 1 GB"""
    raw, program = tools.limit(options, "spawn"), tools.program(options, "workers/start")
    if not raw or not program:
        return []
    sections = [section(options, raw, program, memory) for memory in MEMORY]
    return [*sections, independence(sections)]
