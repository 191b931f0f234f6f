import { join } from 'node:path';
import { expect } from 'chai';
import { callControl } from '../../src/http/control-client.ts';
import { Site, xCache } from './site.ts';
import { STORAGES } from './storages.ts';

const MIB = 1024 ** 2;
/** No body is answered from memory, so that each answer shows what the store has. */
const NOTHING_HOT = { memory: { bodies: 0 } };

describe('criteria of quotas', function () {
  this.timeout(120_000);

  for (const [type, size] of [
    ['disk', 4 * MIB],
    ['memory', 4 * MIB],
    ['S3', MIB],
  ] as const) {
    it(`S9: a quota on ${type} lets go first what was never asked for again, and ls says missing`, async function () {
      await using kind = await STORAGES[type]?.(this);
      const maxBytes = 12.5 * size;
      const rule = { name: 'precious', host: '127.0.0.1', path: '/pinned/*', pin: true };
      await using site = await Site.start({
        storage: { ...kind?.options, maxBytes },
        rules: [rule],
        config: NOTHING_HOT,
      });
      const pathOf = (name: string): string => `/${name}?size=${size}`;
      const asked = Array.from({ length: 4 }, (_, at) => pathOf(`asked-${at}`));
      const pinned = Array.from({ length: 2 }, (_, at) => pathOf(`pinned/${at}`));
      const once = Array.from({ length: 44 }, (_, at) => pathOf(`once-${at}`));
      for (const path of [...pinned, ...asked]) await site.keep(path);
      for (const path of asked) expect(xCache(await site.get(path))).to.equal('HIT');
      let peak = 0;
      for (const [at, path] of once.entries()) {
        await site.keep(path);
        // What is used stays in use.
        if (at % 4 > 0) continue;
        for (const again of asked) await site.get(again);
        peak = Math.max(peak, await keptBytes(site));
      }
      expect(peak).to.be.within(0.85 * maxBytes, maxBytes);
      const states = new Map<string, string>();
      const { stdout } = await site.node.run('ls', '--json');
      for (const line of stdout.trim().split('\n')) {
        const { key, state } = JSON.parse(line) as { key: string; state: string };
        states.set(key.slice(key.indexOf('/', 'http://'.length)), state);
      }
      expect(states.size).to.equal(50);
      for (const path of [...asked, ...pinned]) expect(states.get(path), path).to.equal('present');
      const gone = once.filter((path) => states.get(path) === 'missing');
      expect(gone.length).to.be.at.least(
        once.length + asked.length + pinned.length - maxBytes / size,
      );
      expect(states.get(once.at(-1) ?? '')).to.equal('present');
      const [first = ''] = gone;
      const again = await site.get(first);
      expect(xCache(again)).to.equal('MISS');
      expect(again.body.equals(site.bytes(first, size))).to.equal(true);
    });
  }

  it('serves what finds no room, counts it, and goes on keeping others', async () => {
    await using site = await Site.start({
      storage: { type: 'disk', keepFree: 0, maxBytes: 4 * MIB },
    });
    const large = `/large?size=${5 * MIB}`;
    for (let time = 1; time <= 2; time++) {
      const answer = await site.get(large);
      expect(xCache(answer)).to.equal('MISS');
      expect(answer.body.equals(site.bytes(large, 5 * MIB))).to.equal(true);
      const other = `/other-${time}?size=100000`;
      expect(xCache(await site.keep(other))).to.equal('MISS');
      expect(xCache(await site.get(other))).to.equal('HIT');
    }
    const counters = await site.node.counters();
    expect(counters['quota_refused_total{larger}']).to.equal(2);
    expect(counters['stash_failed_total{too-large}']).to.equal(2);
    const ready = await site.get('/_caje/readyz');
    expect(ready.status).to.equal(200);
  });
});

/** Bytes of the entries whose body is there. */
async function keptBytes(site: Site): Promise<number> {
  const control = join(site.node.dataDir, 'control.sock');
  const rows = (await callControl(control, 'ls')) as { state: string; size: number }[];
  return rows.reduce((sum, { state, size }) => sum + (state === 'missing' ? 0 : size), 0);
}
