// SPDX-License-Identifier: MIT
// Two child processes of Node with 32 empty tasks in flight each: one line of JSON.
const { fork } = require('node:child_process');

if (process.argv[2] === 'worker') {
  process.on('message', (n) => process.send(2 * n));
} else {
  const total = 50_000;
  const children = [0, 1].map(() => fork(__filename, ['worker']));
  let ready = 0, started = 0, ended = 0, begin;
  const next = (child) => { if (started < total) { started++; child.send(1); } };
  for (const child of children) {
    child.on('message', () => {
      if (ready < children.length) {
        if (++ready === children.length) {
          begin = process.hrtime.bigint();
          for (const each of children) for (let i = 0; i < 32; i++) next(each);
        }
        return;
      }
      ended++;
      next(child);
      if (ended === total) {
        const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
        console.log(JSON.stringify({ pool: 'Node child_process', per_second: total / seconds, cpu_ns: null }));
        for (const each of children) each.disconnect();
      }
    });
    child.send(0);
  }
}
