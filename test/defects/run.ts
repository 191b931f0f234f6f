import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PlantingGround } from './plant.ts';
import { PLANTED } from './planted.ts';

// `npm run defects [-- TEXT…]`: plants each defect (those whose name holds one of the texts) in a copy of the checkout and
// runs the tests that have to notice it. Exit code 1 where one is not caught or its tests fail without it.

const texts = process.argv.slice(2);
const defects = PLANTED.filter(
  ({ name }) => texts.length === 0 || texts.some((text) => name.includes(text)),
);
if (defects.length === 0) throw new Error('no planted defect has such a name');

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
const folder = await mkdtemp(join(tmpdir(), 'caje-defects-'));
let caught = 0;
try {
  const ground = await PlantingGround.make(folder);
  for (const defect of defects) {
    let verdict: string = await ground.judge(defect, stop.signal);
    // Tests that fail anyway catch nothing.
    if (verdict === 'caught' && (await ground.trySound(defect, stop.signal)) !== 'missed')
      verdict = 'unsound';
    if (verdict === 'caught') caught += 1;
    process.stdout.write(`${verdict}  ${defect.breaks}  ${defect.name}\n`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(`${caught} of ${defects.length} caught\n`);
process.exitCode = caught === defects.length ? 0 : 1;
