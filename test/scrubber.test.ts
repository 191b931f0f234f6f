import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { ProxyError } from '../src/errors.ts';
import { silentLogger } from '../src/log.ts';
import { ScrubPace } from '../src/scrub-pace.ts';
import { Scrubber, type ScrubberOptions } from '../src/scrubber.ts';
import type { ScrubVerdict } from '../src/storage/backend.ts';
import type { Digest } from '../src/storage/digest.ts';
import { MemoryBackend } from '../src/storage/memory-backend.ts';
import type { Repaired } from '../src/storage-repair.ts';
import { FakeClock } from './support/fake-clock.ts';
import { incomingOf } from './support/incoming.ts';
import { seededBytes } from './support/seeded-bytes.ts';
import { flipBit, sorted, type UpkeepPlace, upkeepPlace } from './support/upkeep-place.ts';

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
const MIB = 1024 * 1024;
const never = new AbortController().signal;

interface Scrubbing {
  readonly scrubber: Scrubber;
  readonly repaired: Digest[];
  tidied: number;
}

function scrubbing(place: UpkeepPlace, over: Partial<ScrubberOptions> = {}): Scrubbing {
  const repaired: Digest[] = [];
  async function* repair(digests: ReadonlySet<Digest>): AsyncGenerator<Repaired> {
    for (const digest of digests) {
      repaired.push(digest);
      yield { digest, repair: 'repaired' };
    }
  }
  const self: Scrubbing = {
    repaired,
    tidied: 0,
    scrubber: new Scrubber({
      ...place,
      config: { scrub: { periodMs: WEEK_MS, rate: 32 * MIB } },
      backends: [['local', place.backend]],
      cursorPath: join(place.folder, 'scrub.json'),
      log: silentLogger,
      isBusy: () => false,
      repair,
      tidy: async () => void self.tidied++,
      ...over,
    }),
  };
  return self;
}

/** Lets time pass whenever something waits for it, until the work is done. */
async function drive<T>(clock: FakeClock, work: Promise<T>, stepMs = 50): Promise<T> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  work.then(done, done);
  while (!settled) {
    await nextTurn();
    if (clock.sleeping > 0) clock.advance(stepMs);
  }
  return await work;
}

async function until(clock: FakeClock, holds: () => boolean, stepMs = 50): Promise<void> {
  while (!holds()) {
    await nextTurn();
    if (clock.sleeping > 0) clock.advance(stepMs);
  }
}

describe('Scrubber', function () {
  this.timeout(30_000);

  it('F-27: finds all that is bad, accuses nothing else, and has it fetched again', async () => {
    await using place = await upkeepPlace();
    const bodies = [];
    for (let number = 0; number < 60; number++)
      bodies.push(await place.entry(`key-${number}`, number % 3 === 0 ? 500 : 66_000 + number));
    const large = bodies.filter(({ size }) => size > 65_536);
    const bad = large.slice(0, 5);
    for (const [index, { digest, size }] of bad.entries())
      await flipBit(place.fileOf(digest), Math.floor((index * (size - 1)) / 4));
    const gone = large[10];
    if (gone === undefined) throw new Error('there are too few');
    await rm(place.fileOf(gone.digest));
    const { scrubber, repaired } = scrubbing(place);
    await drive(place.clock, scrubber.pass(never));
    expect(repaired.sort()).to.deep.equal(sorted(...bad, gone));
    const { metrics } = place;
    expect(metrics.value('scrubbed_total', 'damaged')).to.equal(5);
    expect(metrics.value('scrubbed_total', 'missing')).to.equal(1);
    expect(metrics.value('scrubbed_total', 'whole')).to.equal(54);
    expect(metrics.value('corrupt_blobs_total')).to.equal(5);
  });

  it('reads everything once in a period, seven days by the clock', async () => {
    await using place = await upkeepPlace();
    const { clock, metrics } = place;
    for (let number = 0; number < 10; number++) await place.entry(`key-${number}`, 100_000);
    const self = scrubbing(place);
    const stop = new AbortController();
    const begun = clock.now();
    const running = self.scrubber.run(stop.signal);
    const read = (): number => metrics.value('scrubbed_total');
    await until(clock, () => self.tidied === 1);
    expect(read()).to.equal(10);
    await until(clock, () => clock.now() > begun + WEEK_MS - DAY_MS, DAY_MS / 2);
    expect(read()).to.equal(10);
    await until(clock, () => clock.now() >= begun + WEEK_MS, DAY_MS / 2);
    await until(clock, () => self.tidied === 2);
    expect(read()).to.equal(20);
    stop.abort();
    await running;
    // A later process knows that it is not yet time.
    const later = scrubbing(place);
    const again = new AbortController();
    const waiting = later.scrubber.run(again.signal);
    await until(clock, () => clock.now() > begun + 2 * WEEK_MS - DAY_MS, DAY_MS / 2);
    expect(read()).to.equal(20);
    await until(clock, () => later.tidied === 1, DAY_MS / 2);
    expect(read()).to.equal(30);
    again.abort();
    await waiting;
  });

  it('goes on after a restart where it was, and reads what is left in the time that is left', async () => {
    await using place = await upkeepPlace();
    const { clock, metrics } = place;
    for (let number = 0; number < 40; number++) await place.entry(`key-${number}`, 70_000);
    const read = (): number => metrics.value('scrubbed_total');
    let seen = 0;
    for (const wanted of [7, 23]) {
      const stop = new AbortController();
      const running = scrubbing(place).scrubber.run(stop.signal);
      await until(clock, () => read() >= wanted);
      stop.abort();
      await running;
      seen = read();
      expect(seen).to.be.lessThan(40);
    }
    const last = scrubbing(place);
    const stop = new AbortController();
    const running = last.scrubber.run(stop.signal);
    await until(clock, () => last.tidied === 1);
    expect(read()).to.equal(40);
    stop.abort();
    await running;
    const cursor = JSON.parse(await readFile(join(place.folder, 'scrub.json'), 'utf8')) as object;
    expect(cursor).to.include({ done: true });
  });

  it('begins anew where what it wrote down is damaged or names another storage', async () => {
    await using place = await upkeepPlace();
    for (let number = 0; number < 3; number++) await place.entry(`key-${number}`, 70_000);
    const path = join(place.folder, 'scrub.json');
    const cursors = [
      '{"started',
      '{"startedAt":1,"storage":"other","after":"x","done":false}',
      `{"startedAt":${Number.MAX_SAFE_INTEGER},"storage":"other","done":false}`,
    ];
    for (const [index, text] of cursors.entries()) {
      await writeFile(path, text);
      const self = scrubbing(place);
      const stop = new AbortController();
      const running = self.scrubber.run(stop.signal);
      await until(place.clock, () => self.tidied === 1);
      stop.abort();
      await running;
      expect(place.metrics.value('scrubbed_total')).to.equal(3 * (index + 1));
    }
  });

  it('drops rows of the manifest that fail their checksum', async () => {
    await using place = await upkeepPlace();
    await place.entry('good', 100);
    await place.entry('bad', 200);
    const database = new Database(join(place.folder, 'manifest.db'), { timeout: 5000 });
    const changed = database.prepare("UPDATE entries SET size = 7 WHERE key = 'bad'").run();
    database.close();
    expect(changed.changes).to.equal(1);
    await drive(place.clock, scrubbing(place).scrubber.pass(never));
    expect(place.metrics.value('corrupt_rows_total')).to.equal(1);
  });

  it('leaves a storage that cannot be asked for the next pass, and reads the others', async () => {
    await using place = await upkeepPlace();
    const { clock, metrics } = place;
    await place.entry('key', 70_000);
    class Away extends MemoryBackend {
      tries = 0;
      override async scrub(): Promise<ScrubVerdict> {
        this.tries++;
        throw new ProxyError('unavailable', 'away.scrub', 'it does not answer');
      }
    }
    await using away = new Away({ name: 'away', clock, metrics, log: silentLogger });
    for (let number = 0; number < 20; number++)
      await away.put(incomingOf(seededBytes(100, String(number))));
    const backends = [
      ['away', away],
      ['local', place.backend],
    ] as const;
    await drive(clock, scrubbing(place, { backends }).scrubber.pass(never));
    expect(away.tries).to.equal(5);
    expect(metrics.value('scrubbed_total', 'whole')).to.equal(1);
  });

  it('leaves a storage alone in which so much is gone that it must be the storage itself', async () => {
    await using place = await upkeepPlace();
    for (let number = 0; number < 80; number++) await place.entry(`key-${number}`, 66_000);
    const root = join(place.folder, 'blobs');
    await rename(root, `${root}-not-mounted`);
    const { scrubber, repaired } = scrubbing(place);
    await drive(place.clock, scrubber.pass(never));
    expect(repaired).to.have.length(50);
    expect(await Array.fromAsync(place.backend.list())).to.have.length(30);
  });

  it('does nothing where the period is 0', async () => {
    await using place = await upkeepPlace();
    await place.entry('key', 100);
    const config = { scrub: { periodMs: 0, rate: MIB } };
    await scrubbing(place, { config }).scrubber.run(never);
    expect(place.metrics.value('scrubbed_total')).to.equal(0);
  });
});

describe('ScrubPace', () => {
  const paceOf = (clock: FakeClock, maxRate: number, isBusy = () => false): ScrubPace =>
    new ScrubPace({ clock, maxRate, isBusy, signal: never });

  it('spreads what there is over the time, within its bounds', () => {
    const pace = paceOf(new FakeClock(), 32 * MIB);
    pace.spread(1024 ** 4, 1_000_000, WEEK_MS);
    expect(pace.rate).to.be.within(1024 ** 4 / (WEEK_MS / 1000), 3 * MIB);
    pace.spread(1024 ** 5, 1_000_000, WEEK_MS);
    expect(pace.rate).to.equal(32 * MIB);
    pace.spread(1000, 1, WEEK_MS);
    expect(pace.rate).to.equal(65_536);
    pace.spread(1024 ** 4, 1, -5);
    expect(pace.rate).to.equal(32 * MIB);
  });

  it('keeps within its rate over any time, also after a pause', async () => {
    const clock = new FakeClock();
    const pace = paceOf(clock, MIB);
    const taken: { readonly at: number; readonly bytes: number }[] = [];
    const work = async (): Promise<void> => {
      for (let number = 0; number < 300; number++) {
        const bytes = [100, 70_000, MIB][number % 3] ?? 0;
        await pace.take(bytes);
        taken.push({ at: clock.monotonic(), bytes });
        if (number === 150) clock.advance(60_000);
      }
    };
    await drive(clock, work(), 5);
    for (const [from, first] of taken.entries()) {
      let bytes = 0;
      for (const { at, bytes: more } of taken.slice(from)) {
        bytes += more;
        // What is taken last is being read from then on.
        expect((bytes - more) / MIB).to.be.at.most((at - first.at) / 1000 + 0.011);
      }
    }
  });

  it('stands back while others need the process, and not for good', async () => {
    const clock = new FakeClock();
    let asked = 0;
    const pace = paceOf(clock, MIB, () => ++asked <= 3);
    await drive(clock, pace.take(1));
    expect(clock.monotonic()).to.be.at.least(750);
    const always = paceOf(clock, MIB, () => true);
    const from = clock.monotonic();
    await drive(clock, always.take(1));
    expect(clock.monotonic() - from).to.be.within(5000, 6000);
  });
});
