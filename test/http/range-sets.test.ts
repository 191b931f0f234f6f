import { expect } from 'chai';
import { HeaderList } from '../../src/headers.ts';
import { answering, bytesContent, type Edge, rule, startEdge } from '../support/edge.ts';
import { type Answer, HttpClient } from '../support/http-client.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

const TAG = '"v1"';
const MODIFIED = 'Sun, 01 Nov 2026 10:00:00 GMT';
const SIZES = [0, 1, 100, 5000] as const;

describe('ranges of a stored body, whatever is asked', () => {
  const client = new HttpClient();
  const bodies = new Map(SIZES.map((size) => [size, seededBytes(size)]));
  const edges = new Map<number, Edge>();

  before(async () => {
    for (const [size, body] of bodies) {
      const headers = new HeaderList([
        ['ETag', TAG],
        ['Last-Modified', MODIFIED],
        ['Date', 'Mon, 02 Nov 2026 10:00:00 GMT'],
        ['Content-Type', 'application/octet-stream'],
      ]);
      const stored = answering({ headers, content: bytesContent(body), selectable: true });
      edges.set(size, await startEdge({ rules: [rule(stored)] }));
    }
  });

  after(async () => {
    await client[Symbol.asyncDispose]();
    for (const edge of edges.values()) await edge[Symbol.asyncDispose]();
  });

  async function ask(
    size: number,
    headers: Readonly<Record<string, string | string[]>>,
    method = 'GET',
  ): Promise<Answer> {
    return await client.get(`${edges.get(size)?.url}/`, { headers, method });
  }

  const many = (count: number, spec: (at: number) => string): string =>
    Array.from({ length: count }, (_, at) => spec(at)).join(',');
  const huge = '9'.repeat(30);

  // H-84: sets that want more than they should, or mean nothing.
  const sets: readonly (readonly [string, string])[] = [
    ['the same range twice', '0-9,0-9'],
    ['the same range ten times', many(10, () => '0-9')],
    ['the whole ten times', many(10, () => '0-')],
    ['the whole a thousand times', many(1000, () => '0-')],
    ['ranges that overlap', '0-50,25-75,70-99'],
    ['ranges that touch', '0-9,10-19,20-29'],
    ['ranges within each other', '0-99,10-20,30-40'],
    ['ranges from behind', '90-99,80-89,70-79'],
    ['single bytes', many(10, (at) => `${at * 2}-${at * 2}`)],
    ['eleven single bytes', many(11, (at) => `${at * 2}-${at * 2}`)],
    ['single bytes without end', many(1000, (at) => `${at}-${at}`)],
    ['suffixes that grow', many(10, (at) => `-${(at + 1) * 9}`)],
    ['a suffix beyond the body, often', many(10, () => '-99999')],
    ['ends that shrink', many(10, (at) => `${at}-${99 - at}`)],
    ['the first and the last byte', '0-0,-1'],
    ['the first and the last byte, nine times', many(9, (at) => (at % 2 ? '-1' : '0-0'))],
    ['a huge end', `0-${huge}`],
    ['a huge start', `${huge}-`],
    ['huge ones only', `${huge}-${huge}`],
    ['a huge suffix', `-${huge}`],
    ['ten huge ends', many(10, (at) => `${at}-${huge}`)],
    ['2^53 and its neighbours', '9007199254740991-9007199254740993'],
    ['2^31 and beyond', '2147483647-4294967296'],
    ['2^63', '0-9223372036854775808'],
    ['leading zeros', `${'0'.repeat(40)}1-${'0'.repeat(40)}5`],
    ['one that fits among those that do not', `0-0,${many(9, (at) => `${9000 + at}-`)}`],
    ['none that fits', many(10, (at) => `${9000 + at}-`)],
    ['suffixes of nothing', many(10, () => '-0')],
    ['commas only', ','.repeat(1000)],
    ['a good one between a thousand commas', `${','.repeat(500)}0-0${','.repeat(500)}`],
  ];

  it(`H-84: there are ${sets.length} sets`, () => {
    expect(sets).to.have.length(30);
  });

  for (const [name, set] of sets) {
    it(`H-84: ${name}: at most twice the body, or 200 or 416`, async () => {
      for (const [size, body] of bodies) {
        const answer = await ask(size, { range: `bytes=${set}` });
        expect(answer.status, `${size} bytes`).to.be.oneOf([200, 206, 416]);
        if (answer.status === 200) expect(answer.body.equals(body), `${size} bytes`).to.equal(true);
        else if (answer.status === 206) {
          expect(answer.body.length).to.be.at.most(2 * size);
          expectParts(answer, body);
        } else expect(answer.headers.get('Content-Range')).to.equal(`bytes */${size}`);
      }
    });
  }

  // H-85: of 100 bytes; `undefined`: the whole. A list: the parts in order.
  type Got = string | undefined | readonly string[] | 416 | 304;
  const cases: readonly (readonly [string, Readonly<Record<string, string | string[]>>, Got])[] = [
    ['first and last', { range: 'bytes=0-9' }, '0-9'],
    ['one byte', { range: 'bytes=99-99' }, '99-99'],
    ['open', { range: 'bytes=90-' }, '90-99'],
    ['open from the first byte', { range: 'bytes=0-' }, '0-99'],
    ['a suffix', { range: 'bytes=-10' }, '90-99'],
    ['a suffix beyond the body', { range: 'bytes=-101' }, '0-99'],
    ['an end beyond the body', { range: 'bytes=90-100' }, '90-99'],
    ['another case of the unit', { range: 'Bytes=0-9' }, '0-9'],
    ['white space around commas', { range: 'bytes=0-1 ,\t3-4' }, undefined],
    ['empty elements', { range: 'bytes=,,0-9,,' }, '0-9'],
    ['behind the end', { range: 'bytes=100-' }, 416],
    ['a suffix of nothing', { range: 'bytes=-0' }, 416],
    ['from back to front', { range: 'bytes=9-0' }, undefined],
    ['one good and one bad', { range: 'bytes=0-9,9-0' }, undefined],
    ['another unit', { range: 'items=0-9' }, undefined],
    ['no unit', { range: '0-9' }, undefined],
    ['white space before the numbers', { range: 'bytes= 0-9' }, '0-9'],
    ['hexadecimal', { range: 'bytes=0x0-0x9' }, undefined],
    ['a sign', { range: 'bytes=+0-9' }, undefined],
    ['two fields', { range: ['bytes=0-9', 'bytes=20-29'] }, undefined],
    ['If-Range with the tag', { range: 'bytes=0-9', 'if-range': TAG }, '0-9'],
    ['If-Range with a weak form of it', { range: 'bytes=0-9', 'if-range': `W/${TAG}` }, undefined],
    [
      'If-Range with another, behind the end',
      { range: 'bytes=100-', 'if-range': '"v2"' },
      undefined,
    ],
    ['If-None-Match before Range', { range: 'bytes=100-', 'if-none-match': TAG }, 304],
  ];

  it(`H-85: there are ${cases.length} cases`, () => {
    expect(cases).to.have.length(24);
  });

  for (const [name, headers, expected] of cases) {
    it(`H-85: ${name}`, async () => {
      const body = bodies.get(100) ?? Buffer.alloc(0);
      const answer = await ask(100, headers);
      if (typeof expected === 'number') expect(answer.status).to.equal(expected);
      else if (expected === undefined) {
        expect([answer.status, answer.headers.get('Content-Range')]).to.deep.equal([
          200,
          undefined,
        ]);
        expect(answer.body.equals(body)).to.equal(true);
      } else {
        expect([answer.status, answer.headers.get('Content-Range')]).to.deep.equal([
          206,
          `bytes ${expected}/100`,
        ]);
        expectParts(answer, body);
      }
      if (expected === 416) expect(answer.headers.get('Content-Range')).to.equal('bytes */100');
    });
  }

  it('a Range of a HEAD is nothing', async () => {
    const { status, headers } = await ask(100, { range: 'bytes=0-9' }, 'HEAD');
    expect([status, headers.get('Content-Length')]).to.deep.equal([200, '100']);
  });
});

/** Every part of a 206 has the bytes that it says. */
function expectParts({ headers, body }: Answer, whole: Buffer): void {
  const [, boundary] = /boundary=(.+)$/.exec(headers.get('Content-Type') ?? '') ?? [];
  const single = headers.get('Content-Range');
  expect(boundary === undefined).to.equal(single !== undefined);
  let rest = body;
  let count = 0;
  for (;;) {
    let field = single ?? '';
    if (boundary !== undefined) {
      const head = `\r\n--${boundary}`;
      expect(String(rest.subarray(0, head.length))).to.equal(head);
      if (String(rest.subarray(head.length)) === '--\r\n') break;
      const end = rest.indexOf('\r\n\r\n') + 4;
      field = /Content-Range: (.+)\r\n/.exec(String(rest.subarray(0, end)))?.[1] ?? '';
      rest = rest.subarray(end);
    }
    const [, from, to] = /^bytes (\d+)-(\d+)\//.exec(field) ?? [];
    const expected = whole.subarray(Number(from), Number(to) + 1);
    expect(rest.subarray(0, expected.length).equals(expected), field).to.equal(true);
    rest = rest.subarray(expected.length);
    count += 1;
    if (boundary === undefined) {
      expect(rest.length).to.equal(0);
      return;
    }
  }
  expect(count).to.be.greaterThan(1);
}
