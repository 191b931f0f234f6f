import { expect } from 'chai';
import { InputPlace, type Seen, say } from './place.ts';

type Fields = Readonly<Record<string, string>>;

describe('how long answers are used, through a node', () => {
  let place: InputPlace;

  before(async () => {
    place = await InputPlace.start();
  });
  after(async () => await place[Symbol.asyncDispose]());

  const fieldsOf =
    (more: Fields): ((seen: Seen, res: Parameters<typeof say>[0]) => void) =>
    (seen, res) =>
      say(res, seen, more);

  const strictly = [
    ...['max-age=0, must-revalidate', 'max-age=0, proxy-revalidate', 's-maxage=0'],
    ...['max-age=0, must-revalidate, stale-if-error=600', 's-maxage=0, stale-if-error=600'],
    'max-age=0, proxy-revalidate, stale-if-error=600',
  ];
  it('H-46: what must not be used stale is not, while the origin is away: 6 answers', async () => {
    const answersOf = async (cc: string, at: number): Promise<string> => {
      const path = `/46/${at}`;
      place.scripts.set(path, fieldsOf({ 'Cache-Control': cc, ETag: '"a"' }));
      await place.echo(path);
      await place.kept(path);
      place.scripts.set(path, (_, res) => void res.destroy());
      const { status } = await place.ask(path);
      return `${status} ${cc}`;
    };
    const got = await Promise.all(strictly.map(answersOf));
    for (const one of got) expect(one).to.match(/^50[24] /);
    // The same without them may be used, so that the case above is one.
    expect(await answersOf('max-age=0, stale-if-error=600', 99)).to.match(/^200 /);
  });

  const kept = new Set([200, 203, 204, 300, 301, 308, 404, 410]);
  const codes = [
    300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 410, 429, 451, 500, 502, 503, 504,
  ];
  it(`H-47: of errors and redirects only what says so is kept, and errors for a minute: ${codes.length} codes, 2 answers each`, async () => {
    for (const code of codes) {
      for (const [cc, said] of [
        ['', false],
        ['max-age=600', true],
      ] as const) {
        const path = `/47/${code}/${cc}`;
        place.scripts.set(path, (seen, res) =>
          say(
            res,
            seen,
            { 'Cache-Control': cc, Location: `http://${seen.headers['host']}/x` },
            code,
          ),
        );
        const numbers = new Set<number>();
        for (let turn = 0; turn < 2; turn++) {
          const { status, body, headers } = await place.ask(path, { headers: { host: 'a.test' } });
          expect(status).to.equal(code);
          numbers.add((JSON.parse(body.toString()) as Seen).number);
          const ttl = /ttl=(\d+)/.exec(headers.get('Cache-Status') ?? '')?.[1];
          if (code >= 400 && ttl !== undefined) expect(Number(ttl)).to.be.at.most(60);
        }
        const isKept = said && (kept.has(code) || code < 400);
        expect(numbers.size, `${code} ${cc}`).to.equal(isKept ? 1 : 2);
        const other = await place.ask(path, { headers: { host: 'b.test' } });
        expect(other.headers.get('Location'), `${code}`).to.equal('http://b.test/x');
      }
    }
  });

  const odd: readonly (readonly [fields: Fields, shared: boolean])[] = [
    [{ 'Cache-Control': 'max-age=600, max-age=0' }, false],
    [{ 'Cache-Control': 'max-age=0, max-age=600' }, false],
    [{ 'Cache-Control': 'max-age=-1' }, false],
    [{ 'Cache-Control': 'max-age=1.5x' }, false],
    [{ 'Cache-Control': 'max-age=a' }, false],
    [{ 'Cache-Control': 'max-age' }, false],
    [{ 'Cache-Control': 'max-age=99999999999999999999' }, true],
    [{ 'Cache-Control': 'max-age="600"' }, true],
    [{ 'Cache-Control': ',,max-age=600,,' }, true],
    [{ 'Cache-Control': 'maxage=600' }, false],
    [{ 'Cache-Control': '', Expires: '0' }, false],
    [{ 'Cache-Control': '', Expires: 'soon' }, false],
    [{ 'Cache-Control': 'max-age=600', Age: '601' }, false],
    [{ 'Cache-Control': 'max-age=600', Age: '99999999999999999999' }, false],
  ];
  it(`H-50: malformed and contradictory lifetimes get the shortest safe reading: ${odd.length} answers`, async () => {
    for (const [at, [fields, shared]] of odd.entries()) {
      place.scripts.set(`/50/${at}`, fieldsOf(fields));
      const { number } = await place.echo(`/50/${at}`);
      const again = await place.echo(`/50/${at}`);
      expect(again.number === number, JSON.stringify(fields)).to.equal(shared);
    }
  });

  it('H-54: a 304 freshens the entry that was asked about, and another one replaces it', async () => {
    const path = '/54';
    place.scripts.set(path, (seen, res) =>
      say(res, seen, {
        Vary: 'X-A',
        ETag: `"${seen.headers['x-a']}"`,
        'Cache-Control': 'max-age=0',
        'X-Kept': 'first',
      }),
    );
    const one = await place.echo(path, { headers: { 'x-a': '1' } });
    const two = await place.echo(path, { headers: { 'x-a': '2' } });
    await place.kept(path, 2);
    place.scripts.set(path, (seen, res) => {
      const isFirst = seen.headers['if-none-match']?.includes('"1"') === true;
      if (!isFirst) return say(res, seen, { Vary: 'X-A', ETag: '"3"' });
      res.writeHead(304, {
        ETag: '"1"',
        Vary: 'X-A',
        'Cache-Control': 'max-age=600',
        'X-Kept': 'second',
      });
      res.end();
    });
    const freshened = await place.ask(path, { headers: { 'x-a': '1' } });
    expect(freshened.headers.get('X-Kept')).to.equal('second');
    expect((JSON.parse(freshened.body.toString()) as Seen).number).to.equal(one.number);
    expect((await place.echo(path, { headers: { 'x-a': '2' } })).number).to.not.equal(two.number);
    expect((await place.echo(path, { headers: { 'x-a': '1' } })).number).to.equal(one.number);
  });

  it('H-58: Via is appended on both ways, and Age is on each hit: 10 answers', async () => {
    const path = '/58';
    place.scripts.set(path, (seen, res) => say(res, seen, { Via: '1.1 far', Age: '7' }));
    for (let turn = 0; turn < 10; turn++) {
      const { headers, body } = await place.ask(path, { headers: { via: `1.0 client${turn}` } });
      const seen = JSON.parse(body.toString()) as Seen;
      expect(seen.headers['via']).to.match(/^1\.0 client0, 1\.1 caje-[0-9a-f]{16}$/);
      expect(headers.get('Via')).to.match(/^1\.1 far, 1\.1 caje-[0-9a-f]{16}$/);
      expect(Number(headers.get('Age'))).to.be.within(7, 60);
      expect(headers.getAll('Date')).to.have.lengthOf(1);
    }
    expect(place.asked(path)).to.equal(1);
  });
});
