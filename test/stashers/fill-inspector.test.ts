import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { kindOf, ProxyError } from '../../src/errors.ts';
import { HeaderList } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';
import type { BodyInspector, Findings } from '../../src/stashers/body-inspector.ts';
import { Fill, type FillOptions } from '../../src/stashers/fill.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import { pieces } from '../support/pieces.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** Gathers what it sees, and finds what it is told to. */
class Watcher implements BodyInspector {
  readonly seen: Buffer[] = [];
  readonly ended = Promise.withResolvers<Findings>();
  aborted = 0;
  hold: Promise<void> | undefined;

  write(piece: Buffer): Promise<void> | undefined {
    this.seen.push(Buffer.from(piece));
    return this.hold;
  }

  async end(): Promise<Findings> {
    return await this.ended.promise;
  }

  abort(): void {
    this.aborted += 1;
  }
}

describe('Fill with an inspector', () => {
  let root: TempFolder;
  let watcher: Watcher;
  const made: Fill[] = [];

  beforeEach(async () => {
    root = await tempFolder();
    watcher = new Watcher();
  });
  afterEach(async () => {
    for (const one of made.splice(0)) one.release();
    await root[Symbol.asyncDispose]();
  });

  const fill = (body: Readable, size: number, options: Partial<FillOptions> = {}): Fill => {
    const folder = new SpoolFolder(root.path, 2 ** 28);
    const headers = new HeaderList([['Content-Length', String(size)]]);
    const one = new Fill(
      { status: 200, headers, body, source: 'test' },
      { folder, metrics: new Metrics(), maxBytes: 2 ** 28, inspector: watcher, ...options },
    );
    made.push(one);
    return one;
  };

  for (const size of [1_000, 3_000_000]) {
    const bytes = randomBytes(size);

    it(`${size} bytes pass through it whole; what it finds is there when the body is sealed`, async () => {
      const one = fill(Readable.from(pieces(bytes, 10_000)), size);
      expect((await buffer(one.openForClient())).equals(bytes), 'no client waits for it').to.equal(
        true,
      );
      expect(one.whole, 'not settled yet').to.equal(undefined);
      watcher.ended.resolve({ h1: 'h1:x' });
      await one.sealed;
      expect(Buffer.concat(watcher.seen).equals(bytes)).to.equal(true);
      expect(await one.findings).to.deep.equal({ h1: 'h1:x' });
      expect(one.whole?.size).to.equal(size);
    });

    it(`${size} bytes with a problem reach the client and are not sealed`, async () => {
      const problems: string[] = [];
      const onProblem = (problem: string): void => void problems.push(problem);
      const one = fill(Readable.from(pieces(bytes, 10_000)), size, { onProblem });
      const got = buffer(one.openForClient());
      watcher.ended.resolve({ problem: 'it is no zip' });
      expect((await got).equals(bytes)).to.equal(true);
      expect(kindOf(await failureOf(one.sealed))).to.equal('integrity');
      expect(problems).to.deep.equal(['it is no zip']);
      expect(one.whole).to.equal(undefined);
    });

    it(`${size} bytes that are not confirmed are cut before their last one`, async () => {
      const asked: Findings[] = [];
      const confirm = async (findings: Findings): Promise<void> => {
        asked.push(findings);
        throw new ProxyError('integrity', 'test', 'another hash');
      };
      const one = fill(Readable.from(pieces(bytes, 10_000)), size, { confirm });
      const got: Buffer[] = [];
      const body = one.openForClient();
      body.on('data', (piece: Buffer) => got.push(piece));
      const failed = failureOf(new Promise((_, reject) => void body.once('error', reject)));
      watcher.ended.resolve({ h1: 'h1:y' });
      expect(kindOf(await failed)).to.equal('integrity');
      expect(Buffer.concat(got).length).to.be.lessThan(size);
      expect(asked).to.deep.equal([{ h1: 'h1:y' }]);
      expect(kindOf(await failureOf(one.sealed))).to.equal('integrity');
      expect(await one.findings).to.equal(undefined);
    });
  }

  it('is never waited for by clients where nothing has to be confirmed', async () => {
    watcher.hold = new Promise(() => {});
    const bytes = randomBytes(3_000_000);
    const one = fill(Readable.from(pieces(bytes, 10_000)), bytes.length);
    expect((await buffer(one.openForClient())).equals(bytes)).to.equal(true);
    expect(watcher.seen.length).to.equal(1);
  });

  it('holds the body back where it has to be confirmed, and lets go when it is cut', async () => {
    const held = Promise.withResolvers<void>();
    watcher.hold = held.promise;
    const body = Readable.from(
      (function* () {
        for (let at = 0; at < 100; at++) yield randomBytes(100_000);
        throw new ProxyError('upstream', 'test', 'cut');
      })(),
    );
    const one = fill(body, 20_000_000, { confirm: async () => {} });
    const failed = failureOf(buffer(one.openForClient()));
    await sleep(50);
    expect(Buffer.concat(watcher.seen).length).to.be.lessThan(2_000_000);
    watcher.hold = undefined;
    held.resolve();
    expect(kindOf(await failed)).to.equal('upstream');
    expect(watcher.aborted).to.equal(1);
    expect(await one.findings).to.equal(undefined);
  });
});
