import { expect } from 'chai';
import fc from 'fast-check';
import { ProxyError } from '../../src/errors.ts';
import { httpKey } from '../../src/protocol/http-key.ts';
import { invalidatedKeys } from '../../src/protocol/invalidation.ts';
import { fields } from './messages.ts';

describe('httpKey', () => {
  const cases: readonly [url: string, key: string][] = [
    ['HTTP://WWW.Example.COM:80/A?b', 'http://www.example.com/A?b'],
    ['https://www.example.com:443/', 'https://www.example.com/'],
    ['https://www.example.com:80/', 'https://www.example.com:80/'],
    ['http://www.example.com', 'http://www.example.com/'],
    ['http://www.example.com?a', 'http://www.example.com/?a'],
    ['http://www.example.com:/a', 'http://www.example.com/a'],
    ['http://www.example.com/a#part', 'http://www.example.com/a'],
    ['http://[::1]:8080/a', 'http://[::1]:8080/a'],
  ];
  for (const [url, key] of cases) {
    it(`makes ${key} of ${url}`, () => {
      expect(httpKey(url)).to.equal(key);
    });
  }

  it('keeps path and query byte for byte', () => {
    const targets = [
      '/a/../b',
      '/b',
      '/a/%2e%2e/b',
      '/a/%2E%2E/b',
      '/a//b',
      '/a/b',
      '/a/b/',
      '/a;x/b',
      '/a%2Fb',
      '/A/b',
      '/a/b?',
      '/a/b?x=1&y=2',
      '/a/b?y=2&x=1',
      '/a/b?x=1&x=1',
      '/a/b?x=%31',
      '/a/b.css',
      '/a\\b',
    ];
    const keys = targets.map((target) => httpKey(`http://h.example${target}`));
    expect(keys).to.deep.equal(targets.map((target) => `http://h.example${target}`));
    expect(new Set(keys).size).to.equal(targets.length);
  });

  it('makes two addresses one only if scheme, host, port, path and query are the same', () => {
    const host = fc.constantFrom('a.example', 'a.example.', 'b.example', '[::1]', 'a.example-b');
    const part = fc.record({
      scheme: fc.constantFrom('http', 'https'),
      host,
      port: fc.constantFrom('', ':81', ':8080'),
      target: fc.string({ unit: fc.constantFrom('a', '/', '?', ':', '%', '@', '.') }),
    });
    fc.assert(
      fc.property(part, part, (one, other) => {
        const url = (p: typeof one): string => `${p.scheme}://${p.host}${p.port}/${p.target}`;
        expect(httpKey(url(one)) === httpKey(url(other))).to.equal(url(one) === url(other));
      }),
      { numRuns: 3000 },
    );
  });

  for (const url of [
    '/a',
    'ftp://h/a',
    'http:///a',
    'http://u:p@h/',
    'http://h:x/',
    'http://a b/',
    '',
  ]) {
    it(`refuses ${url || 'an empty address'}`, () => {
      expect(() => httpKey(url))
        .to.throw(ProxyError)
        .with.property('kind', 'invalid');
    });
  }
});

describe('invalidatedKeys', () => {
  const target = 'http://h.example/a?b';
  const keys = (method: string, status: number, ...answer: string[]): string[] =>
    invalidatedKeys(method, status, target, fields(...answer));

  it('names the target of an unsafe method that succeeded, known or not', () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'M-SEARCH', 'get'])
      expect(keys(method, 204)).to.deep.equal([target]);
    expect(keys('POST', 303)).to.deep.equal([target]);
  });

  it('names nothing for safe methods and failures', () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'])
      expect(keys(method, 200)).to.deep.equal([]);
    for (const status of [100, 400, 404, 500]) expect(keys('POST', status)).to.deep.equal([]);
  });

  it('names Location and Content-Location of the same origin', () => {
    expect(
      keys('POST', 201, 'Location: /c?d#e', 'Content-Location: HTTP://H.example:80/f'),
    ).to.deep.equal([target, 'http://h.example/c?d', 'http://h.example/f']);
    expect(keys('POST', 201, 'Location: c')).to.deep.equal([target, 'http://h.example/c']);
    expect(keys('POST', 201, 'Location: /x/../c')).to.deep.equal([
      target,
      'http://h.example/x/../c',
      'http://h.example/c',
    ]);
  });

  it('names nothing of another origin', () => {
    for (const other of [
      'http://i.example/c',
      'https://h.example/c',
      'http://h.example:81/c',
      '//i.example/c',
      'http://h.example@i.example/c',
    ])
      expect(keys('POST', 201, `Location: ${other}`)).to.deep.equal([target]);
  });
});
