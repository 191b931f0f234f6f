import { expect } from 'chai';
import { SystemClock } from '../../src/clock.ts';
import { PeerFetcher } from '../../src/fetchers/peer-fetcher.ts';
import type { HeaderLine } from '../../src/headers.ts';
import { Metrics } from '../../src/metrics.ts';
import { oracleBytes } from '../support/oracle-bytes.ts';
import { PEER_TOKEN, startPeer } from '../support/peer-edge.ts';
import { openPull, type PullPlace, wholeOf } from './pull-place.ts';

const SIZE = 3_000;

describe('parts among peers', () => {
  const path = '/x';
  const range = (field: string): { headers: HeaderLine[] } => ({ headers: [['Range', field]] });
  let far: PullPlace;
  let near: PullPlace;
  const stack = new AsyncDisposableStack();

  before(async () => {
    far = stack.use(await openPull());
    far.behave = () => ({ ranges: true, size: SIZE });
    const peer = stack.use(
      await startPeer(
        async ({ target, method, headers, onlyIfCached }, { signal }) =>
          await far.ask(target, { method, headers: headers.lines, onlyIfCached, signal }),
      ),
    );
    const common = { clock: new SystemClock(), metrics: new Metrics() };
    const options = { name: 'far', url: new URL(peer.url), token: PEER_TOKEN, fill: true };
    const fetcher = stack.use(new PeerFetcher({ ...common, ...options }));
    near = stack.use(await openPull({ fetcher }));
  });

  after(async () => {
    await stack.disposeAsync();
  });

  it('a part comes through a node that keeps it too, and is completed through it', async () => {
    const bytes = oracleBytes({ seed: far.origin.seed, key: path, version: 1 }, SIZE);
    const first = await near.getSettled(path, range('bytes=0-999'));
    await far.settled();
    expect([first.status, first.body.equals(bytes.subarray(0, 1000))]).to.deep.equal([206, true]);
    for (const place of [far, near])
      expect((await place.entries(path)).map(({ status, size }) => [status, size])).to.deep.equal([
        [206, 1000],
      ]);
    const whole = await near.getSettled(path);
    await far.settled();
    expect([whole.status, whole.body.equals(bytes)]).to.deep.equal([200, true]);
    const ranges = far.origin.seen.map(
      ({ rawHeaders }) => rawHeaders[rawHeaders.findIndex((name) => /^range$/i.test(name)) + 1],
    );
    expect(ranges).to.deep.equal(['bytes=0-999', 'bytes=1000-']);
    expect((await near.entries(path)).map(({ status }) => status)).to.deep.equal([200]);
  });

  it('a node gives what it has as a part to one that asks for it', async () => {
    await far.getSettled('/y', range('bytes=0-999'));
    const { requests } = far.origin.counts('/y');
    const got = await near.getSettled('/y', range('bytes=100-199'));
    expect([got.status, got.headers.get('content-range')]).to.deep.equal([
      206,
      'bytes 100-199/3000',
    ]);
    const bytes = oracleBytes({ seed: far.origin.seed, key: '/y', version: 1 }, SIZE);
    expect(got.body.equals(bytes.subarray(100, 200))).to.equal(true);
    expect(far.origin.counts('/y').requests).to.equal(requests);
    // The kept part goes on to the next.
    const again = await near.ask('/y', range('bytes=120-129'));
    expect(again.report.phase).to.equal('hit');
    again.content?.close();
    expect((await wholeOf(await near.ask('/y'))).body.equals(bytes)).to.equal(true);
  });
});
