import { openIn, put } from '../support/manifest-fixtures.ts';

/** Puts one key after another, eight at a time, and prints `key jid` once a put is durable, until it is killed. */
const [folder = '', start = '0'] = process.argv.slice(2);
const manifest = await openIn(folder);
let next = Number(start);

async function loop(): Promise<never> {
  for (;;) {
    const key = `k${next++}`;
    const [result] = await manifest.commit([put(key, manifest.position('web'))]);
    if (result?.outcome === 'committed') process.stdout.write(`${key} ${result.jid}\n`);
  }
}

process.stdout.write('ready\n');
await Promise.all(Array.from({ length: 8 }, loop));
