import { readFileSync, writeFileSync } from 'node:fs';
import { SystemClock } from '../../src/clock.ts';
import { localLock } from '../../src/manifest/local-lock.ts';

/** Adds a number to the one in `<database>.count`, so many times, each under the local lock of the database, and says so. */
const [path = '', times = '0', step = '1'] = process.argv.slice(2);
const lock = localLock(path, { clock: new SystemClock() });
// A wait for the lock alone keeps no process alive.
const alive = setInterval(() => {}, 1000);
process.stdout.write('ready\n');
for (let i = 0; i < Number(times); i++) {
  await using lease = await lock.acquire();
  lease.assertHeld();
  const sum = Number(readFileSync(`${path}.count`, 'utf8')) + Number(step);
  // Whoever adds nothing writes nothing: it may be killed half-way.
  if (step !== '0') writeFileSync(`${path}.count`, String(sum));
}
clearInterval(alive);
await lock[Symbol.asyncDispose]();
process.stdout.write('done\n');
