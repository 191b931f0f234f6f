import { expect } from 'chai';
import { kindOf } from '../../src/errors.ts';
import { failureOf } from '../contract/backend-fixture.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { openPull, type PullPlace } from './pull-place.ts';

const BASE = '/example.com/mod/@v';
const FILES = ['list', 'v1.0.0.info', 'v1.0.0.mod', 'v1.0.0.zip'].map((file) => `${BASE}/${file}`);

/** What the real go command needs of a proxy, and what breaks it. */
describe('GoProtocol, as the go command needs it', () => {
  let place: PullPlace;

  async function answered(
    target: string,
    behaviour: Behaviour,
  ): Promise<readonly [number, string]> {
    place.behave = () => behaviour;
    const { status, body } = await place.getSettled(target);
    return [status, String(body)];
  }

  beforeEach(async () => {
    place = await openPull({ protocol: 'go', sumdb: [{ name: 'sums.example.org/sumdb' }] });
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  it('rule 1: supports a checksum database whose name holds a path', async () => {
    expect((await place.get('/sumdb/sums.example.org/sumdb/supported')).status).to.equal(200);
    const target = '/sumdb/sums.example.org/sumdb/tile/8/0/000';
    expect((await place.get(target)).status).to.equal(200);
    expect(place.origin.seen.map(({ key }) => key)).to.deep.equal([target]);
  });

  for (const status of [404, 410]) {
    it(`rules 2 and 3: ${status} stays ${status}, and its body is relayed word for word`, async () => {
      const body = `not found: example.com/mod@v1.0.0: invalid version: unknown revision\n\tdétails ${status}`;
      for (const target of FILES)
        expect(await answered(target, { status, body })).to.deep.equal([status, body]);
    });
  }

  for (const status of [400, 401, 403, 429]) {
    it(`rule 3: ${status} stays ${status} and is not kept`, async () => {
      const body = `no: ${status}\n`;
      for (const target of FILES)
        expect(await answered(target, { status, body })).to.deep.equal([status, body]);
      expect(await place.journal()).to.deep.equal([]);
    });
  }

  for (const status of [500, 502, 503, 504]) {
    it(`rule 3: ${status} stays an error, is never shown as absence and never kept`, async () => {
      place.behave = () => ({ status, body: 'no' });
      for (const target of FILES)
        expect(kindOf(await failureOf(place.ask(target)))).to.equal('upstream');
      place.behave = () => undefined;
      for (const target of FILES) expect((await place.get(target)).status).to.equal(200);
    });
  }

  it('rule 4: passes .info, .mod and list on untouched, valid or not', async () => {
    const odd = [
      [
        'v1.0.0.info',
        '{"Version":"v1.0.0","Time":"2020-01-01T00:00:00+02:00","Origin":{"VCS":"git"}} ',
      ],
      ['v1.0.1.info', 'this is not JSON'],
      ['v1.0.0.mod', '// no module line\r\ngo 1.2.3.4\n'],
      ['list', 'v1.0.0\nnot-a-version\nv1.0.0-20200101000000-0123456789ab extra\n\n'],
    ] as const;
    for (const [file, body] of odd)
      for (const _ of ['miss', 'hit'])
        expect(await answered(`${BASE}/${file}`, { body })).to.deep.equal([200, body]);
    expect(place.origin.counts().requests).to.equal(odd.length);
  });

  it('rule 5: lets a bad zip reach the client', async () => {
    const target = `${BASE}/v1.0.0.zip`;
    expect(await answered(target, { body: 'no zip' })).to.deep.equal([200, 'no zip']);
    expect(await answered(`${BASE}/v1.0.1.zip`, { body: '' })).to.deep.equal([200, '']);
  });

  it('rule 6: fetches only what was asked for; another broken piece changes nothing', async () => {
    place.behave = ({ key }) => (key.endsWith('.zip') ? { status: 500 } : undefined);
    expect((await place.getSettled(`${BASE}/v1.0.0.mod`)).status).to.equal(200);
    expect(place.origin.seen.map(({ key }) => key)).to.deep.equal([`${BASE}/v1.0.0.mod`]);
    expect(kindOf(await failureOf(place.ask(`${BASE}/v1.0.0.zip`)))).to.equal('upstream');
    expect((await place.get(`${BASE}/v1.0.0.mod`)).report.phase).to.equal('hit');
    expect((await place.get(`${BASE}/v1.0.0.info`)).status).to.equal(200);
  });

  it('rule 7: an unknown module is 404, a known one without tags an empty 200', async () => {
    const unknown = { status: 404, body: 'not found\n' };
    expect(await answered('/example.com/unknown/@v/list', unknown)).to.deep.equal([
      404,
      'not found\n',
    ]);
    for (const _ of ['miss', 'hit'])
      expect(await answered('/example.com/untagged/@v/list', { body: '' })).to.deep.equal([
        200,
        '',
      ]);
  });

  it('rule 8: needs no go command to serve', async () => {
    const { PATH } = process.env;
    process.env['PATH'] = '';
    try {
      for (const target of FILES) expect((await place.get(target)).status).to.equal(200);
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  it('rule 9: remembers lists and absence, but shortly', async () => {
    const list = '/example.com/other/@v/list';
    const absent = `${BASE}/v1.9.0.info`;
    const ask = async (): Promise<string[]> => {
      await answered(list, { body: 'v1.0.0\n', etag: false });
      await answered(absent, { status: 404, body: 'no\n', etag: false });
      return place.origin.seen.splice(0).map(({ key }) => key);
    };
    expect(await ask()).to.deep.equal([list, absent]);
    expect(await ask()).to.deep.equal([]);
    place.clock.advance(10_000);
    expect(await ask(), 'an artifact may be published at any moment').to.deep.equal([absent]);
    place.clock.advance(50_000);
    expect(await ask()).to.deep.equal([list, absent]);
  });

  it('rule 10: never asks again for what cannot change', async () => {
    const files = FILES.slice(1);
    for (const target of files) await place.getSettled(target);
    place.origin.resetCounts();
    place.clock.advance(1000 * 24 * 3600 * 1000);
    for (const target of files) expect((await place.get(target)).report.phase).to.equal('hit');
    expect(place.origin.counts().requests).to.equal(0);
  });
});
