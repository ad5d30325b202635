// SPDX-License-Identifier: MIT
// Piscina, two worker threads with 32 empty tasks in flight each: one line of JSON. The package is
// found as require() finds it: by NODE_PATH.
const { isMainThread } = require('node:worker_threads');

if (!isMainThread) {
  module.exports = (n) => 2 * n;
} else {
  const { Piscina } = require('piscina');
  const total = 50_000;
  const pool = new Piscina({
    filename: __filename, minThreads: 2, maxThreads: 2, concurrentTasksPerWorker: 32,
  });
  const run = async () => {
    await Promise.all(Array.from({ length: 1000 }, () => pool.run(1)));
    let started = 0;
    const chain = async () => { while (started < total) { started++; await pool.run(1); } };
    const cpu = process.cpuUsage();
    const begin = process.hrtime.bigint();
    await Promise.all(Array.from({ length: 64 }, chain));
    const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
    const used = process.cpuUsage(cpu);
    console.log(JSON.stringify({
      pool: 'Piscina', per_second: total / seconds, cpu_ns: (used.user + used.system) / total * 1e3,
    }));
    await pool.destroy();
  };
  run();
}
