import { expect } from 'chai';
import { OracleOrigin } from '../support/oracle-origin.ts';
import { fetcherOf, openPull, type PullPlace } from './pull-place.ts';

describe('GoProtocol: checksum databases', () => {
  const names = ['sums.example.org', 'sums.example.org/sumdb'];
  const lookup = 'lookup/example.com/mod@v1.0.0';
  let place: PullPlace;

  async function asked(target: string): Promise<readonly [number, string, string]> {
    const { status, report, body } = await place.getSettled(target);
    return [status, report.phase, String(body)];
  }

  beforeEach(async () => {
    place = await openPull({ protocol: 'go', sumdb: names.map((name) => ({ name })) });
  });
  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  for (const name of names) {
    it(`says that it passes ${name} through, and does`, async () => {
      expect(await asked(`/sumdb/${name}/supported`)).to.deep.equal([200, 'bypass', '']);
      expect(place.origin.counts().requests).to.equal(0);
      const first = await place.getSettled(`/sumdb/${name}/${lookup}`);
      expect(first.report.phase).to.equal('miss');
      expect(place.origin.seen.at(-1)?.key).to.equal(`/sumdb/${name}/${lookup}`);
      place.clock.advance(24 * 3600 * 1000);
      expect((await place.get(`/sumdb/${name}/${lookup}`)).report.phase).to.equal('hit');
    });
  }

  it('keeps tiles for good and the latest tree for a minute', async () => {
    const root = '/sumdb/sums.example.org';
    for (const rest of ['tile/8/0/001', 'tile/8/0/x001/234.p/17', 'tile/8/data/000', 'latest'])
      expect((await place.getSettled(`${root}/${rest}`)).report.phase, rest).to.equal('miss');
    place.clock.advance(61_000);
    for (const rest of ['tile/8/0/001', 'tile/8/0/x001/234.p/17', 'tile/8/data/000'])
      expect((await place.get(`${root}/${rest}`)).report.phase, rest).to.equal('hit');
    expect((await place.get(`${root}/latest`)).report.phase).to.equal('revalidated');
  });

  it('says 404 for one that is not configured, so that the client goes there itself', async () => {
    const [status, , text] = await asked('/sumdb/other.example.org/supported');
    expect([status, text]).to.deep.equal([404, 'not found: checksum database not configured\n']);
    expect(place.origin.counts().requests).to.equal(0);
  });

  it('asks one with an address of its own there, the longest name first', async () => {
    await using own = await OracleOrigin.start();
    await using fetcher = fetcherOf(own.url);
    await place[Symbol.asyncDispose]();
    place = await openPull({
      protocol: 'go',
      sumdb: [{ name: 'sums.example.org' }, { name: 'sums.example.org/sumdb', fetcher }],
    });
    await place.getSettled(`/sumdb/sums.example.org/sumdb/${lookup}`);
    await place.getSettled(`/sumdb/sums.example.org/${lookup}`);
    expect(own.seen.map(({ key }) => key)).to.deep.equal([`/${lookup}`]);
    expect(place.origin.seen.map(({ key }) => key)).to.deep.equal([
      `/sumdb/sums.example.org/${lookup}`,
    ]);
  });
});
