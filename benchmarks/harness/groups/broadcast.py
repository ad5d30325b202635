# SPDX-License-Identifier: MIT
"""1 KiB to every worker: what it costs the primary, and when all have it."""

from .. import servers, tools
from ..model import OURS, PEER, RAW, Column, Goal, Samples, Section

WORKERS = (1, 10, 100, 1000)
MOST_OF_NODE = 10  # 45 MB each

NODE = """
const cluster = require('cluster');
const [workers, rounds] = process.argv.slice(2).map(Number);
if (cluster.isPrimary) {
  const text = 'x'.repeat(1024), cpu = [], seen = [];
  let online = 0, answers = 0, left = rounds, begin, before;
  const middle = (all) => all.sort((a, b) => a - b)[Math.floor((all.length - 1) / 2)];
  const now = () => Number(process.hrtime.bigint()) / 1e3;
  const call = () => {
    answers = 0;
    begin = now();
    before = process.cpuUsage();
    for (const each of Object.values(cluster.workers)) each.send(text);
    setImmediate(() => {
      const used = process.cpuUsage(before);
      cpu.push(used.user + used.system);
    });
  };
  cluster.on('message', () => {
    if (++answers !== workers) return;
    seen.push(now() - begin);
    if (--left) return void setTimeout(call, 2);
    console.log(JSON.stringify({ cpu_us: middle(cpu), seen_us: middle(seen) }));
    cluster.disconnect();
  });
  cluster.on('online', () => { if (++online === workers) setTimeout(call, 200); });
  for (let i = 0; i < workers; ++i) cluster.fork();
} else {
  process.on('message', () => process.send(1));
}
"""

COLUMNS = [Column("cpu_us", "primary's CPU us", 1, ratio=True),
           Column("seen_us", "all have it, us")]


def section(options, raw, program, workers):
    rounds = 200 if workers <= 100 else 50
    size = ["--workers", workers, "--rounds", rounds]
    commands = [("raw futex", RAW, [raw, *size, "--way", "futex"]),
                ("raw socket", RAW, [raw, *size, "--way", "socket"]),
                ("ours process", OURS, [program, *size]),
                ("ours process, shared memory", OURS, [program, *size, "--backend", "rings"]),
                ("ours fork", OURS, [program, *size, "--backend", "fork"])]
    if workers <= MOST_OF_NODE:
        if tools.peer(options, "Node.js", "nodejs", program="node"):
            script = servers.scratch(options, "broadcast.js", NODE)
            commands.append(("Node cluster", PEER, ["node", script, workers, rounds]))
    else:
        tools.skip(f"Node.js, broadcast to {workers:,}", "its workers take 45 MB each")
    samples = Samples()

    def turn(name, role, command):
        for line in tools.lines_of(*command):
            samples.add(name, role, line)

    tools.with_rounds(options, [lambda c=command: turn(*c) for command in commands])
    goals = []
    if workers == 1000:
        goals = [Goal("ours process", "raw futex", "cpu_us", "<=", 1.2)]
    return Section(f"Broadcast of 1 KiB to {workers:,} worker{'s' * (workers > 1)}", COLUMNS,
                   samples.list(), "raw futex", "cpu_us", goals, workers == WORKERS[-1])


def broadcast(options):
    """the primary's CPU time of a broadcast to 1, 10, 100 and 1,000 workers"""
    raw, program = tools.limit(options, "broadcast"), tools.program(options, "workers/broadcast")
    if not raw or not program:
        return []
    return [section(options, raw, program, workers) for workers in WORKERS]
