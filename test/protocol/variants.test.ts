import { expect } from 'chai';
import type { HeaderLine } from '../../src/headers.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { lastSeen, openPull, type PulledAnswer, type PullPlace } from './pull-place.ts';

const KEPT: HeaderLine[] = [
  ['Cache-Control', 'max-age=60'],
  ['Vary', 'X-Kind'],
];

describe('a request that no variant fits, RFC 9111 §4.1', () => {
  let place: PullPlace;

  beforeEach(async () => {
    place = await openPull();
    for (const kind of ['a', 'b']) {
      place.behave = () => ({ etag: `"${kind}"`, body: kind, headers: KEPT });
      await ask(kind);
    }
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function ask(kind: string, ...more: HeaderLine[]): Promise<PulledAnswer> {
    return await place.getSettled('/x', { headers: [['X-Kind', kind], ...more] });
  }

  const chooses = (tag: string | false, more: HeaderLine[] = KEPT): Behaviour => ({
    status: 304,
    etag: tag,
    headers: more,
  });

  it('sends the tags of all, and has the body of the one that the origin chooses from then on', async () => {
    place.behave = () => chooses('"b"', [...KEPT, ['X-New', '1']]);
    const { status, body, report, headers } = await ask('c');
    const tags = lastSeen(place.origin, 'if-none-match').join().split(', ');
    expect(tags.sort()).to.deep.equal(['"a"', '"b"']);
    expect([status, body.toString(), report.phase]).to.deep.equal([200, 'b', 'revalidated']);
    expect(headers.get('x-new')).to.equal('1');
    const again = await ask('c');
    expect([again.body.toString(), again.report.phase]).to.deep.equal(['b', 'hit']);
    expect((await ask('a')).body.toString()).to.equal('a');
    expect(place.origin.counts('/x').requests).to.equal(3);
  });

  it('fetches the whole where the origin chooses none that is kept', async () => {
    for (const tag of ['"z"', false] as const) {
      let asked = 0;
      place.behave = () =>
        asked++ === 0 ? chooses(tag) : { etag: '"c"', body: 'c', headers: KEPT };
      expect((await ask(`c ${String(tag)}`)).body.toString()).to.equal('c');
    }
  });

  it('asks without tags for a client with credentials', async () => {
    place.behave = () => ({ etag: '"c"', body: 'c', headers: KEPT });
    await ask('c', ['Origin', 'http://www.example.com']);
    expect(lastSeen(place.origin, 'if-none-match')).to.deep.equal([]);
  });

  it('sends no tag of what is coded, which the client may not take', async () => {
    const coded: HeaderLine[] = [...KEPT, ['Content-Encoding', 'gzip']];
    place.behave = () => ({ etag: '"gz"', body: 'gz', headers: coded });
    await ask('c');
    await ask('d');
    expect(lastSeen(place.origin, 'if-none-match').join()).not.to.contain('gz');
  });

  it('fetches the whole where the chosen body is gone', async () => {
    await place.loseBody('/x');
    let asked = 0;
    place.behave = () =>
      asked++ === 0 ? chooses('"b"') : { etag: '"c"', body: 'c', headers: KEPT };
    expect((await ask('c')).body.toString()).to.equal('c');
  });
});
