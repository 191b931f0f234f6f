import { chmod, mkdir, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { FileFetcher } from '../../src/fetchers/file-fetcher.ts';
import { askGoEnv, readGoEnv } from '../../src/fetchers/go-env.ts';
import { parseGoproxyList } from '../../src/fetchers/goproxy-list.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { resolveGoproxyList, UpstreamsFetcher } from '../../src/fetchers/upstreams-fetcher.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { startOrigin, type TestOrigin } from './origins.ts';
import { ask, base, failure, readText } from './requests.ts';

describe('parseGoproxyList', () => {
  const parsed = (text: string): string =>
    parseGoproxyList(text)
      .entries.map(({ url, next }) => `${url.href} ${next}`)
      .join('; ');
  const cases: Readonly<Record<string, string>> = {
    'https://a.example': 'https://a.example/ absent',
    'https://a.example,https://b.example/x':
      'https://a.example/ absent; https://b.example/x absent',
    'https://a.example|https://b.example': 'https://a.example/ any; https://b.example/ absent',
    'https://a.example|direct': 'https://a.example/ any',
    'https://a.example,off,https://b.example': 'https://a.example/ absent',
    'https://a.example,direct,https://b.example': 'https://a.example/ absent',
    ' https://a.example , https://b.example ,':
      'https://a.example/ absent; https://b.example/ absent',
    'a.example/x': 'https://a.example/x absent',
    'file:///srv/mod': 'file:///srv/mod absent',
    'http://me:pw@a.example': 'http://me:pw@a.example/ absent',
    direct: '',
    off: '',
    '': '',
    ',|,': '',
  };
  for (const [text, expected] of Object.entries(cases)) {
    it(`reads ${JSON.stringify(text)}`, () => {
      expect(parsed(text)).to.equal(expected);
    });
  }

  it('says that direct is left out', () => {
    expect(parseGoproxyList('https://a.example,direct').notes.join()).to.contain('direct');
    expect(parseGoproxyList('https://a.example').notes).to.deep.equal([]);
  });

  for (const text of [
    'ftp://a.example',
    'word',
    '/srv/mod',
    'https://',
    'file://host/srv',
    'git@x:/y',
  ]) {
    it(`refuses ${text}`, () => {
      expect(() => parseGoproxyList(text)).to.throw(
        ProxyError,
        'expected http, https or file URLs',
      );
    });
  }

  it('does not print a password', () => {
    expect(() => parseGoproxyList('ftp://me:pass@a.example')).to.throw('ftp://***@a.example');
  });
});

describe('UpstreamsFetcher', () => {
  const open: (TestOrigin | UpstreamsFetcher)[] = [];
  let asked: string[] = [];
  beforeEach(() => {
    asked = [];
  });
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) {
      await ('close' in one ? one.close() : one[Symbol.asyncDispose]());
    }
  });

  const at = async (name: string, answer: RequestListener): Promise<string> => {
    const origin = await startOrigin((request, response) => {
      asked.push(`${name} ${request.url}`);
      answer(request, response);
    });
    open.push(origin);
    return origin.url;
  };
  const says =
    (status: number, text: string): RequestListener =>
    (_, response) =>
      response.writeHead(status).end(text);
  const dies: RequestListener = (request) => request.socket.destroy();
  const over = (list: string): UpstreamsFetcher => {
    const fetcher = new UpstreamsFetcher({
      name: 'modules',
      list: parseGoproxyList(list),
      origin: 'the list',
      open: ({ url }) => new OriginFetcher({ ...base('modules'), url }),
    });
    open.push(fetcher);
    return fetcher;
  };
  const answerOf = async (list: string, path = '/m/@v/list'): Promise<readonly [number, string]> =>
    await readText(await over(list).fetch(ask(path)));

  for (const status of [404, 410]) {
    for (const sign of [',', '|']) {
      it(`asks the next one after "${sign}" on ${status}`, async () => {
        const list = [await at('a', says(status, 'no')), await at('b', says(200, 'yes'))].join(
          sign,
        );
        expect(await answerOf(list)).to.deep.equal([200, 'yes']);
      });
    }
  }

  for (const status of [403, 429, 500, 503]) {
    it(`stops at "," on ${status} and goes on at "|"`, async () => {
      const both = [await at('a', says(status, 'no')), await at('b', says(200, 'yes'))];
      expect(await answerOf(both.join(','))).to.deep.equal([status, 'no']);
      expect(await answerOf(both.join('|'))).to.deep.equal([200, 'yes']);
    });
  }

  it('stops at "," on a failure and goes on at "|"', async () => {
    const both = [await at('a', dies), await at('b', says(200, 'yes'))];
    await failure(answerOf(both.join(',')), 'upstream');
    expect(await answerOf(both.join('|'))).to.deep.equal([200, 'yes']);
  });

  it('relays the body of the last 404 word for word', async () => {
    const list = [await at('a', says(404, 'a: unknown')), await at('b', says(410, 'b: gone'))];
    expect(await answerOf(list.join(','))).to.deep.equal([410, 'b: gone']);
  });

  it('keeps the base path, and treats sumdb paths like any', async () => {
    const url = await at('a', says(200, 'yes'));
    await answerOf(`${url}/base/`, '/sumdb/sum.example/x/latest');
    expect(asked).to.deep.equal(['a /base/sumdb/sum.example/x/latest']);
  });

  it('names its upstreams without credentials', () => {
    const fetcher = over('https://me:pw@a.example/x,b.example|direct');
    expect(fetcher.upstreams).to.deep.equal(['https://a.example/x', 'https://b.example/']);
    expect([fetcher.usable, fetcher.reason]).to.deep.equal([true, undefined]);
    expect(fetcher.notes).to.have.length(1);
  });

  for (const list of ['off', 'direct', '']) {
    it(`is not usable with ${JSON.stringify(list)} and says why`, async () => {
      const fetcher = over(list);
      expect(fetcher.usable).to.equal(false);
      expect(fetcher.reason).to.equal('the list names no module proxy');
      await failure(fetcher.fetch(ask('/x')), 'unavailable');
    });
  }

  it('reads a folder in GOPROXY layout', async () => {
    await using folder = await tempFolder();
    await mkdir(join(folder.path, 'm/@v'), { recursive: true });
    await writeFile(join(folder.path, 'm/@v/list'), 'v1.0.0\n');
    const fetcher = new UpstreamsFetcher({
      name: 'modules',
      list: parseGoproxyList(`file://${folder.path}`),
      origin: 'the list',
      open: ({ url }) => new FileFetcher({ ...base('modules'), path: url.pathname }),
    });
    expect(await readText(await fetcher.fetch(ask('/m/@v/list')))).to.deep.equal([200, 'v1.0.0\n']);
  });
});

describe('askGoEnv', () => {
  const fakeGo = async (folder: string, script: string): Promise<void> => {
    await writeFile(join(folder, 'go'), `#!/bin/sh\n${script}\n`);
    await chmod(join(folder, 'go'), 0o755);
  };

  it('asks the go command', async () => {
    await using folder = await tempFolder();
    await fakeGo(
      folder.path,
      '[ "$1 $2 $GOTOOLCHAIN" = "env GOPROXY local" ] && echo "a.example,direct"',
    );
    const env = { PATH: `${folder.path}:/usr/bin:/bin`, GOPROXY: 'other.example' };
    expect(await askGoEnv('GOPROXY', env)).to.deep.equal({ value: 'a.example,direct' });
  });

  it('takes the variable where there is no go command', async () => {
    await using folder = await tempFolder();
    const env = { PATH: folder.path, GOPROXY: 'b.example' };
    expect(await readGoEnv('GOPROXY', env)).to.equal('b.example');
  });

  it('takes the variable where the go command fails', async () => {
    await using folder = await tempFolder();
    await fakeGo(folder.path, 'exit 1');
    expect(await readGoEnv('GOPROXY', { PATH: folder.path, GOPROXY: 'b.example' })).to.equal(
      'b.example',
    );
  });

  it('says why there is no list', async () => {
    await using folder = await tempFolder();
    const { list, origin } = await resolveGoproxyList('go-env', { PATH: folder.path });
    expect(list.entries).to.deep.equal([]);
    expect(origin).to.equal(
      'go env GOPROXY (there is no go command, and the variable GOPROXY is not set)',
    );
  });

  it('turns nonsense of the go command into a note', async () => {
    await using folder = await tempFolder();
    const { list } = await resolveGoproxyList('go-env', { PATH: folder.path, GOPROXY: 'ftp://x' });
    expect(list.entries).to.deep.equal([]);
    expect(list.notes.join()).to.contain('ftp://x in the GOPROXY list');
  });
});
