import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { eviction } from './eviction.ts';
import { fill20k } from './fill-20k.ts';
import { firstByte } from './first-byte.ts';
import { goDownload } from './go-download.ts';
import { goFirstByte } from './go-first-byte.ts';
import { goHerd } from './go-herd.ts';
import { goHits } from './go-hits.ts';
import { herd } from './herd.ts';
import { hit1k } from './hit-1k.ts';
import { hit100m } from './hit-100m.ts';
import { hitRatio } from './hit-ratio.ts';
import { memory } from './memory.ts';
import { peer } from './peer.ts';
import { s3Hit } from './s3-hit.ts';
import { s3Large } from './s3-large.ts';
import { smallBodies } from './small-bodies.ts';
import { startup } from './startup.ts';
import { type Bench, toTable } from './support/bench.ts';
import { describeMachine, machineLine } from './support/machine.ts';
import { tiered } from './tiered.ts';

const BENCHES: readonly Bench[] = [
  hit1k,
  hit100m,
  firstByte,
  fill20k,
  herd,
  memory,
  startup,
  goDownload,
  goFirstByte,
  goHerd,
  goHits,
  tiered,
  s3Hit,
  s3Large,
  smallBodies,
  hitRatio,
  eviction,
  peer,
];
const RESULTS = fileURLToPath(new URL('results/', import.meta.url));

/** Runs one bench, prints its table and writes `bench/results/<name>.json`. */
async function runBench(bench: Bench, args: readonly string[]): Promise<void> {
  const options = Object.keys(bench.settings).map((name) => [name, { type: 'string' }] as const);
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(options) });
  const settings = { ...bench.settings, ...(values as Readonly<Record<string, string>>) };
  const machine = describeMachine();
  const rows = await bench.run(settings);
  const command = ['npm run bench --', bench.name, ...args].join(' ');
  console.log(`\n## ${bench.name}\n\n${bench.question}\n\n${machineLine(machine)}`);
  console.log(`\`${command}\`\n\n${toTable(rows)}`);
  await mkdir(RESULTS, { recursive: true });
  const result = { name: bench.name, command, settings, machine, rows };
  await writeFile(`${RESULTS}${bench.name}.json`, `${JSON.stringify(result, null, 2)}\n`);
}

function usage(): string {
  const lines = BENCHES.map(({ name, settings, question }) => {
    const known = Object.entries(settings).map(([key, value]) => `--${key} ${value}`);
    return `  ${name.padEnd(14)}${known.join(' ')}\n${' '.repeat(16)}${question}`;
  });
  return `usage: npm run bench -- NAME [--SETTING VALUE …]\n\n${lines.join('\n')}`;
}

const [name, ...args] = process.argv.slice(2);
const bench = BENCHES.find((candidate) => candidate.name === name);
if (bench === undefined) {
  console.error(name === undefined ? usage() : `no bench named ${name}\n${usage()}`);
  process.exitCode = 2;
} else {
  await runBench(bench, args);
}
