import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { request } from 'undici';
import { HeaderList } from '../../src/headers.ts';
import { answering, bytesContent, protocolOf, respond, rule, startEdge } from '../support/edge.ts';

describe('conditions and ranges of a stored answer', () => {
  const text = 'abcdefghijklmnopqrstuvwxyz';
  const headers = new HeaderList([
    ['ETag', '"v1"'],
    ['Last-Modified', 'Sun, 01 Nov 2026 10:00:00 GMT'],
    ['Date', 'Mon, 02 Nov 2026 10:00:00 GMT'],
    ['Cache-Control', 'max-age=60'],
    ['Content-Type', 'text/plain'],
    ['Age', '3'],
  ]);
  const stored = rule(
    protocolOf(async () => respond({ headers, content: bytesContent(text), selectable: true })),
  );

  const notModified: readonly (readonly [string, Record<string, string>, number])[] = [
    ['a matching tag', { 'if-none-match': '"v1"' }, 304],
    ['a weak form of the tag', { 'if-none-match': 'W/"v1"' }, 304],
    ['a list with the tag', { 'if-none-match': '"a,b", W/"v1"' }, 304],
    ['any tag', { 'if-none-match': '*' }, 304],
    ['another tag', { 'if-none-match': '"v2"' }, 200],
    [
      'another tag beside a date that would fit',
      { 'if-none-match': '"v2"', 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' },
      200,
    ],
    ['the date', { 'if-modified-since': 'Sun, 01 Nov 2026 10:00:00 GMT' }, 304],
    ['the date in its oldest form', { 'if-modified-since': 'Sun Nov  1 10:00:00 2026' }, 304],
    ['an earlier date', { 'if-modified-since': 'Sun, 01 Nov 2026 09:59:59 GMT' }, 200],
    ['no date at all', { 'if-modified-since': 'yesterday' }, 200],
  ];
  for (const [name, fields, status] of notModified) {
    it(`answers ${status} to ${name}`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, { headers: fields });
      expect(answer.statusCode).to.equal(status);
      expect(await answer.body.text()).to.equal(status === 304 ? '' : text);
    });
  }

  it('sends with a 304 what a cache needs to go on, and nothing of the body', async () => {
    await using edge = await startEdge({ rules: [stored] });
    const answer = await request(edge.url, { headers: { 'if-none-match': '"v1"' } });
    await answer.body.dump();
    expect(Object.keys(answer.headers).sort()).to.deep.equal([
      'age',
      'cache-control',
      'cache-status',
      'date',
      'etag',
      'via',
      'x-cache',
    ]);
  });

  const ranges: readonly (readonly [string, number, string, string | undefined])[] = [
    ['bytes=0-3', 206, 'abcd', 'bytes 0-3/26'],
    ['bytes=23-', 206, 'xyz', 'bytes 23-25/26'],
    ['bytes=-2', 206, 'yz', 'bytes 24-25/26'],
    ['bytes=-100', 206, text, 'bytes 0-25/26'],
    ['bytes=24-100', 206, 'yz', 'bytes 24-25/26'],
    ['bytes=0-2,2-4', 206, 'abcde', 'bytes 0-4/26'],
    ['BYTES=0-0', 206, 'a', 'bytes 0-0/26'],
    ['bytes=26-', 416, '', 'bytes */26'],
    ['bytes=-0', 416, '', 'bytes */26'],
    ['bytes=99999999999999999999-', 416, '', 'bytes */26'],
    ['bytes=5-2', 200, text, undefined],
    ['bytes=x-y', 200, text, undefined],
    ['bytes=', 200, text, undefined],
    ['lines=0-3', 200, text, undefined],
    [
      `bytes=${Array.from({ length: 11 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`,
      200,
      text,
      undefined,
    ],
  ];
  for (const [field, status, body, contentRange] of ranges) {
    it(`answers ${status} to ${field} (P16, H-84, H-85)`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, { headers: { range: field } });
      expect(answer.statusCode).to.equal(status);
      expect(answer.headers['content-range']).to.equal(contentRange);
      const got = await answer.body.text();
      if (status !== 416) expect(got).to.equal(body);
      if (status === 200) expect(answer.headers['accept-ranges']).to.equal('bytes');
    });
  }

  it('sends several ranges as one multipart message of the announced length', async () => {
    const long = text.repeat(20);
    await using edge = await startEdge({
      rules: [rule(answering({ headers, content: bytesContent(long), selectable: true }))],
    });
    const answer = await request(edge.url, { headers: { range: 'bytes=20-21, 0-1, -1' } });
    const boundary =
      /^multipart\/byteranges; boundary=(.+)$/.exec(String(answer.headers['content-type']))?.[1] ??
      '';
    const body = await answer.body.text();
    expect(answer.statusCode).to.equal(206);
    expect(Number(answer.headers['content-length'])).to.equal(body.length);
    const part = (range: string, bytes: string): string =>
      `\r\n--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes ${range}/520\r\n\r\n${bytes}`;
    expect(body).to.equal(
      `${part('20-21', 'uv')}${part('0-1', 'ab')}${part('519-519', 'z')}\r\n--${boundary}--\r\n`,
    );
  });

  const ifRange: readonly (readonly [string, number])[] = [
    ['"v1"', 206],
    ['W/"v1"', 200],
    ['"v2"', 200],
    ['Sun, 01 Nov 2026 10:00:00 GMT', 206],
    ['Sun, 01 Nov 2026 10:00:01 GMT', 200],
  ];
  for (const [validator, status] of ifRange) {
    it(`answers ${status} to a range if ${validator}`, async () => {
      await using edge = await startEdge({ rules: [stored] });
      const answer = await request(edge.url, {
        headers: { range: 'bytes=0-0', 'if-range': validator },
      });
      await answer.body.dump();
      expect(answer.statusCode).to.equal(status);
    });
  }

  it('applies neither to an answer that is not selectable', async () => {
    await using edge = await startEdge({
      rules: [rule(answering({ headers, content: bytesContent(text) }))],
    });
    const answer = await request(edge.url, {
      headers: { range: 'bytes=0-0', 'if-none-match': '"v1"' },
    });
    expect(answer.statusCode).to.equal(200);
    expect(await answer.body.text()).to.equal(text);
  });

  it('cuts a large stored body into the right parts', async () => {
    const bytes = Buffer.alloc(3 * 1024 * 1024, 'caje');
    await using edge = await startEdge({
      rules: [rule(answering({ content: bytesContent(bytes), selectable: true }))],
    });
    const answer = await request(edge.url, { headers: { range: 'bytes=1048575-2097153' } });
    const got = Buffer.from(await answer.body.arrayBuffer());
    const hash = (part: Buffer): string => createHash('sha256').update(part).digest('hex');
    expect(hash(got)).to.equal(hash(bytes.subarray(1048575, 2097154)));
  });
});
