// SPDX-License-Identifier: MIT
// Node: a cluster worker's process.send() with JSON, and a worker thread's postMessage(). One line of
// JSON for each cell. Each side of a round trip has a CPU of its own, by taskset of util-linux.
//
//   node node.js [--seconds S] [--way WAY] [--bytes N]
'use strict';
const { execFileSync } = require('node:child_process');
const cluster = require('node:cluster');
const fs = require('node:fs');
const threads = require('node:worker_threads');

const sizes = [64, 1024, 65536];

function option(name, otherwise) {
  const at = process.argv.indexOf(name);
  return at === -1 ? otherwise : process.argv[at + 1];
}

// All CPUs that we have, for who inherits fewer.
process.env.CPUS ??= execFileSync('taskset', ['-cp', `${process.pid}`]).toString()
  .replace(/.*: /, '').trim().split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  }).join(' ');

// For the calling thread, or all of its process.
function takeCpu(which, wholeProcess) {
  const all = process.env.CPUS.split(' ');
  const id = wholeProcess ? process.pid : fs.readlinkSync('/proc/thread-self').split('/').pop();
  execFileSync('taskset', [wholeProcess ? '-acp' : '-cp', all[which % all.length], `${id}`]);
}

// The other side: counts, answers each message of a round trip, says when all have come.
function serve(send, on) {
  let count = 0, trips = false, hasCpu = false, got = 0, cpu;
  on((message) => {
    if (message.count) {
      ({ count, trips } = message);
      if (trips && !hasCpu) { // once, in the run before those that count: it takes milliseconds
        hasCpu = true;
        takeCpu(1, threads.isMainThread);
      }
      got = 0;
      cpu = process.cpuUsage();
      return;
    }
    if (message.sequence !== got++) {
      process.exit(1);
    }
    if (trips) {
      send(message);
    }
    if (got === count) {
      const used = process.cpuUsage(cpu);
      send({ done: true, cpu: used.user + used.system });
    }
  });
}

function measure(peer, bytes, trips, count, oneProcess) {
  return new Promise((resolve) => {
    const text = 'x'.repeat(bytes);
    const cpu = process.cpuUsage();
    const begin = process.hrtime.bigint();
    let sent = 0;
    peer.on((message) => {
      if (message.done) {
        const used = process.cpuUsage(cpu);
        const micros = used.user + used.system + (oneProcess ? 0 : message.cpu);
        resolve({ seconds: Number(process.hrtime.bigint() - begin) / 1e9, cpu: micros * 1e3 });
      } else if (sent !== count) {
        peer.send({ sequence: sent++, text });
      }
    });
    peer.send({ count, trips });
    if (trips) {
      peer.send({ sequence: sent++, text });
      return;
    }
    (function pump() { // in portions, so that the queue stays short
      for (let i = 0; i !== 256 && sent !== count; ++i) {
        peer.send({ sequence: sent++, text });
      }
      if (sent !== count) {
        setImmediate(pump);
      }
    })();
  });
}

// As in limits/run_length.hpp.
async function countFor(wanted, measured) {
  let count = 200;
  for (let times = 20; times >= 2;) {
    times = Math.min(wanted / (await measured(count)).seconds, 20);
    count = Math.max(200, Math.round(count * times));
  }
  return count;
}

async function run(what, peer, seconds, oneProcess) {
  for (const way of ['one way', 'round trip']) {
    const trips = way === 'round trip';
    if (!way.startsWith(option('--way', ''))) {
      continue;
    }
    if (trips) {
      takeCpu(0, !oneProcess);
    }
    for (const bytes of sizes.filter((size) => [0, size].includes(Number(option('--bytes', 0))))) {
      const count = await countFor(seconds / 3, (messages) =>
        measure(peer, bytes, trips, messages, oneProcess));
      const runs = [];
      for (let i = 0; i !== 3; ++i) {
        runs.push(await measure(peer, bytes, trips, count, oneProcess));
      }
      runs.sort((a, b) => a.seconds - b.seconds);
      console.log(JSON.stringify({
        what, way, bytes, per_second: Math.round(count / runs[1].seconds),
        cpu_ns: Math.round(runs[1].cpu / count), spins: false,
      }));
    }
  }
}

async function main() {
  const seconds = Number(option('--seconds', 0.5));
  const worker = cluster.fork();
  await new Promise((resolve) => worker.once('online', resolve));
  await run('node cluster (json)', {
    send: (message) => worker.send(message),
    on: (f) => { worker.removeAllListeners('message'); worker.on('message', f); },
  }, seconds, false);
  worker.kill();
  const thread = new threads.Worker(__filename);
  await run('node worker_threads', {
    send: (message) => thread.postMessage(message),
    on: (f) => { thread.removeAllListeners('message'); thread.on('message', f); },
  }, seconds, true);
  await thread.terminate();
}

if (!threads.isMainThread) {
  serve((m) => threads.parentPort.postMessage(m), (f) => threads.parentPort.on('message', f));
} else if (cluster.isWorker) {
  serve((m) => process.send(m), (f) => process.on('message', f));
} else {
  main();
}
