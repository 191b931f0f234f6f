import type { Socket } from 'node:net';
import { expect } from 'chai';
import { InputPlace, RAW_HOST, type RawScript } from './place.ts';

const OK = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n';
const OLD = 'HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const TWO = 'Content-Length: 2\r\n';

/** Keeps the connection open behind what it says. */
function open(...pieces: readonly string[]): RawScript {
  return (socket: Socket) => {
    const next = (at: number): void => {
      const piece = pieces[at];
      if (piece !== undefined) socket.write(piece, 'latin1', () => setImmediate(next, at + 1));
    };
    next(0);
  };
}

describe('framing of answers, through a node', () => {
  let place: InputPlace;

  before(async () => {
    place = await InputPlace.start();
  });
  after(async () => await place[Symbol.asyncDispose]());

  const headers = { host: RAW_HOST };
  const cases = <T>(table: Readonly<Record<string, T>>): [string, T, string][] =>
    Object.entries(table).map(([what, one], at) => [
      what,
      one,
      `/${Object.keys(table).length}/${at}`,
    ]);

  /** Asks twice; gives what came each time, having checked that both reached the origin. */
  async function askTwice(path: string, script: RawScript): Promise<[number, string, boolean][]> {
    place.rawScripts.set(path, script);
    const answers: [number, string, boolean][] = [];
    for (let turn = 1; turn <= 2; turn++) {
      const { status, body, error } = await place.ask(path, { headers });
      answers.push([status, body.toString('latin1'), error === undefined]);
      expect(place.asked(path), script.toString()).to.be.at.least(turn);
    }
    return answers;
  }

  const cut: Readonly<Record<string, string>> = {
    'no final chunk': `${OK}${CHUNKED}\r\n2\r\nok\r\n`,
    'a chunk that ends early': `${OK}${CHUNKED}\r\n9\r\nok`,
    'a last chunk without its end': `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n`,
    'chunks without an end in HTTP/1.0': `${OLD}${CHUNKED}\r\n2\r\nok\r\n`,
  };
  it('H-18: chunks without their end, also in HTTP/1.0, never end cleanly and are not kept: 4 answers', async () => {
    for (const [what, script, path] of cases(cut)) {
      for (const [status, , whole] of await askTwice(`/18${path}`, script)) {
        expect([200, 502], what).to.include(status);
        expect(status === 200 && whole, what).to.equal(false);
      }
    }
  });

  // What undici tells of an answer does not hold its version.
  it('whole chunks in HTTP/1.0 are read as chunks', async () => {
    const path = '/18/old';
    place.rawScripts.set(path, `${OLD}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n`);
    const { status, body, error } = await place.ask(path, { headers });
    expect([status, String(body), error]).to.deep.equal([200, 'ok', undefined]);
  });

  const long = 'x'.repeat(200_000);
  const unframed: Readonly<Record<string, [script: string, body: string]>> = {
    'HTTP/1.1': [`${OK}\r\nok`, 'ok'],
    'HTTP/1.1 with Connection: close': [`${OK}Connection: close\r\n\r\nok`, 'ok'],
    'HTTP/1.0': [`${OLD}\r\nok`, 'ok'],
    'HTTP/1.0 with a tag': [`${OLD}ETag: "a"\r\n\r\nok`, 'ok'],
    'no body at all': [`${OK}\r\n`, ''],
    'a long body': [`${OK}\r\n${long}`, long],
  };
  it('H-19: a body that ends with its connection is passed on and not kept: 6 answers', async () => {
    for (const [what, [script, body], path] of cases(unframed)) {
      for (const answer of await askTwice(`/19${path}`, script))
        expect(answer, what).to.deep.equal([200, body, true]);
      expect(place.asked(`/19${path}`), what).to.equal(2);
    }
  });

  const more: Readonly<Record<string, RawScript>> = {
    'text behind the length': open(`${OK}${TWO}\r\nok and more`),
    'a whole answer behind the length': open(`${OK}${TWO}\r\nok${OK}${TWO}\r\nno`),
    'an answer that comes later': open(`${OK}${TWO}\r\nok`, `${OK}${TWO}\r\nno`),
    'text that comes later': open(`${OK}${TWO}\r\nok`, 'and more'),
    'an interim answer behind': open(`${OK}${TWO}\r\nok`, 'HTTP/1.1 103 Hints\r\n\r\n'),
    'text behind the last chunk': open(`${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\nand more`),
    'an answer behind the last chunk': open(
      `${OK}${CHUNKED}\r\n2\r\nok\r\n0\r\n\r\n${OK}${TWO}\r\nno`,
    ),
    'text behind 204': open('HTTP/1.1 204 No Content\r\n\r\nand more'),
    'text behind an empty body': open(`${OK}Content-Length: 0\r\n\r\nand more`),
    'NUL bytes behind': open(`${OK}${TWO}\r\nok`, '\0\0\0\0'),
  };
  it('H-20: what is behind the announced body reaches nobody, and the next answer is clean: 10 answers', async () => {
    for (const [what, script, path] of cases(more)) {
      place.rawScripts.set(`/20${path}`, script);
      const { status, body, error } = await place.ask(`/20${path}`, { headers });
      // The extra may be there before the head was looked at; then there is no answer at all.
      expect([200, 204, 502], what).to.include(status);
      if (status !== 502 && error === undefined) expect(['ok', ''], what).to.include(String(body));
      place.rawScripts.set(`/20${path}/next`, `${OK}Content-Length: 4\r\n\r\nnext`);
      const next = await place.ask(`/20${path}/next`, { headers });
      expect([next.status, String(next.body)], what).to.deep.equal([200, 'next']);
    }
  });

  const field = (bytes: string): string => `${OK}${TWO}X-Odd: a${bytes}b\r\n\r\nok`;
  const controls: Readonly<Record<string, [script: string, never: RegExp | string]>> = {
    'NUL in a value': [field('\0'), '\0'],
    'SOH in a value': [field('\x01'), '\x01'],
    'ESC in a value': [field('\x1b'), '\x1b'],
    'DEL in a value': [field('\x7f'), '\x7f'],
    'VT in a value': [field('\x0b'), '\x0b'],
    'a bare CR in a value': [field('\rX-In: 1'), /x-in/i],
    'a bare LF in a value': [field('\nX-In: 1'), /a\nx-in|^x-in/im],
    'a folded value': [field('\r\n X-In: 1'), /^ ?x-in/im],
    'NUL in a name': [`${OK}${TWO}X-\0Odd: a\r\n\r\nok`, '\0'],
    'a control character in the reason': [`HTTP/1.1 200 O\x01K\r\n${TWO}\r\nok`, '\x01'],
    'NUL in the reason': [`HTTP/1.1 200 O\0K\r\n${TWO}\r\nok`, '\0'],
    'a bare CR in the reason': [`HTTP/1.1 200 O\rX-In: 1\r\n${TWO}\r\nok`, /x-in/i],
  };
  it('H-21: control characters of an answer reach nobody: 12 answers', async () => {
    for (const [what, [script, never], path] of cases(controls)) {
      place.rawScripts.set(`/21${path}`, script);
      const ask = `GET /21${path} HTTP/1.1\r\nHost: ${RAW_HOST}\r\nConnection: close\r\n\r\n`;
      const { text } = await place.sendRaw(ask);
      const [head = '', body] = text.split('\r\n\r\n', 2);
      expect(head, what).to.match(/^HTTP\/1\.1 (?:200|502) /);
      const isIn = typeof never === 'string' ? head.includes(never) : never.test(head);
      expect(isIn, what).to.equal(false);
      if (head.startsWith('HTTP/1.1 200')) expect(body, what).to.equal('ok');
    }
  });

  const status = (line: string): string =>
    `HTTP/1.1 ${line}\r\nCache-Control: max-age=600\r\n${TWO}`;
  const senseless: Readonly<Record<string, string>> = {
    '206 without a range': `${status('206 Part')}Content-Range: bytes 0-1/9\r\n\r\nok`,
    '206 of the whole': `${status('206 Part')}Content-Range: bytes 0-1/2\r\n\r\nok`,
    '206 without Content-Range': `${status('206 Part')}\r\nok`,
    '206 with a range turned round': `${status('206 Part')}Content-Range: bytes 9-0/10\r\n\r\nok`,
    '206 in parts': `${status('206 Part')}Content-Type: multipart/byteranges; boundary=a\r\n\r\nok`,
    '304 without a condition': 'HTTP/1.1 304 Same\r\nETag: "a"\r\n\r\n',
    '101 with an upgrade': 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nok',
    '101 without one': `${status('101 Switching')}\r\nok`,
    'status 099': `${status('099 Odd')}\r\nok`,
    'status 600': `${status('600 Odd')}\r\nok`,
    'status 999': `${status('999 Odd')}\r\nok`,
    'a status that is no number': `${status('2x0 Odd')}\r\nok`,
  };
  it('H-22: statuses that make no sense here are 502 and not kept: 12 answers', async () => {
    for (const [what, script, path] of cases(senseless)) {
      const answers = await askTwice(`/22${path}`, script);
      expect(
        answers.map(([code]) => code),
        what,
      ).to.deep.equal([502, 502]);
    }
  });
});
