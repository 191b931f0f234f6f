// Four processes add to one number, each a hundred times, under the HALT lock of a database: no step is lost.
//   node counter.mjs [path of the database]
// On a LiteFS the processes may run on different nodes; on any other file system they shut each other out here.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { halt, isPrimary, lag, position, primary, unhalt, withHalt } from '@caje/litefs';

const PROCESSES = 4;
const STEPS = 100;
const [database, role] = process.argv.slice(2);

if (role === 'worker') await count(database, `${database}.count`);
else if (database !== undefined) await show(database);
else {
  const folder = await mkdtemp(join(tmpdir(), 'litefs-example-'));
  try {
    await show(join(folder, 'example.db'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function count(path, file) {
  for (let step = 0; step < STEPS; step++) {
    await withHalt(path, async () => {
      const before = Number(await readFile(file, 'utf8'));
      await writeFile(file, String(before + 1));
    });
  }
}

async function show(path) {
  const file = `${path}.count`;
  await writeFile(file, '0');
  const workers = Array.from({ length: PROCESSES }, () =>
    fork(import.meta.filename, [path, 'worker']),
  );
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  print('counted', await readFile(file, 'utf8'), 'of', PROCESSES * STEPS);

  const held = await halt(path);
  print('held', held.isHeld(), 'on LiteFS', held.isOnLiteFs);
  await unhalt(held);
  print('held', held.isHeld());

  print('primary', (await primary(path)) ?? 'none named', 'this node', await isPrimary(path));
  print('lag', await lag(path), 'ms, position', (await position(path))?.txid ?? 'none');
}

function print(...words) {
  process.stdout.write(`${words.join(' ')}\n`);
}
