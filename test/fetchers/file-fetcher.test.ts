import { execFileSync } from 'node:child_process';
import { mkdir, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { FileFetcher } from '../../src/fetchers/file-fetcher.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, base, failure, read, readText } from './requests.ts';

describe('FileFetcher', () => {
  let folder: TempFolder;
  let fetcher: FileFetcher;

  beforeEach(async () => {
    folder = await tempFolder();
    const root = join(folder.path, 'root');
    await mkdir(join(root, 'example.com/!mod/@v'), { recursive: true });
    await writeFile(join(folder.path, 'secret.txt'), 'secret');
    await writeFile(join(root, 'a b.txt'), 'spaced');
    for (const [name, text] of Object.entries({
      'example.com/!mod/@v/list': 'v1.0.0\n',
      'example.com/!mod/@v/v1.0.0.info': '{"Version":"v1.0.0"}',
      'example.com/!mod/@v/v1.0.0.mod': 'module example.com/Mod\n',
      'example.com/!mod/@v/v1.0.0.zip': 'PK',
      'example.com/!mod/@latest': '{}',
      'plain.bin': 'bytes',
    })) {
      await writeFile(join(root, name), text);
    }
    fetcher = new FileFetcher({ ...base('folder'), path: root });
  });
  afterEach(async () => {
    await folder[Symbol.asyncDispose]();
  });

  for (const [path, type] of [
    ['/example.com/!mod/@v/list', 'text/plain; charset=utf-8'],
    ['/example.com/!mod/@v/v1.0.0.info', 'application/json'],
    ['/example.com/!mod/@v/v1.0.0.mod', 'text/plain; charset=utf-8'],
    ['/example.com/!mod/@v/v1.0.0.zip', 'application/zip'],
    ['/example.com/!mod/@latest', 'application/json'],
    ['/plain.bin', 'application/octet-stream'],
    ['/a%20b.txt?query=1', 'text/plain; charset=utf-8'],
  ] as const) {
    it(`answers ${path} as ${type}`, async () => {
      const fetched = await fetcher.fetch(ask(path));
      expect([fetched.status, fetched.headers.get('content-type')]).to.deep.equal([200, type]);
      const bytes = await read(fetched.body);
      expect(fetched.headers.get('content-length')).to.equal(String(bytes.length));
    });
  }

  for (const path of [
    '/',
    '/example.com',
    '/example.com/',
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/example.com/../../secret.txt',
    '/example.com//!mod',
    '/./plain.bin',
    '/plain.bin/',
    '/plain.bin/x',
    '/nul%00',
    '/%zz',
    '/%ff',
    `/${'x'.repeat(300)}`,
    '/..',
    '//etc/passwd',
    '/%2fetc%2fpasswd',
  ]) {
    it(`answers 404 for ${path.slice(0, 40)}`, async () => {
      expect(await readText(await fetcher.fetch(ask(path)))).to.deep.equal([404, 'not found\n']);
    });
  }

  it('follows no symbolic link out of its folder, but those inside', async () => {
    const root = join(folder.path, 'root');
    await symlink(join(folder.path, 'secret.txt'), join(root, 'out.txt'));
    await symlink(folder.path, join(root, 'up'));
    await symlink('plain.bin', join(root, 'in.bin'));
    await symlink('loop', join(root, 'loop'));
    for (const path of ['/out.txt', '/up/secret.txt', '/loop']) {
      expect((await fetcher.fetch(ask(path))).status, path).to.equal(404);
    }
    expect(await readText(await fetcher.fetch(ask('/in.bin')))).to.deep.equal([200, 'bytes']);
  });

  it('does not wait for the writer of a named pipe', async () => {
    execFileSync('mkfifo', [join(folder.path, 'root/pipe')]);
    expect((await fetcher.fetch(ask('/pipe'))).status).to.equal(404);
  });

  it('does not mistake a folder whose name begins like its own', async () => {
    await mkdir(join(folder.path, 'root-too'));
    await writeFile(join(folder.path, 'root-too/x'), 'x');
    await symlink(join(folder.path, 'root-too'), join(folder.path, 'root/too'));
    expect((await fetcher.fetch(ask('/too/x'))).status).to.equal(404);
  });

  it('answers 304 while the file is not newer', async () => {
    const path = join(folder.path, 'root/plain.bin');
    await utimes(path, 1_700_000_000.5, 1_700_000_000.5);
    const first = await fetcher.fetch(ask('/plain.bin'));
    await read(first.body);
    const modified = first.headers.get('last-modified') ?? '';
    expect(modified).to.equal('Tue, 14 Nov 2023 22:13:20 GMT');
    const asking = ask('/plain.bin', [['If-Modified-Since', modified]]);
    expect(await readText(await fetcher.fetch(asking))).to.deep.equal([304, '']);
    await utimes(path, 1_700_000_002, 1_700_000_002);
    expect(await readText(await fetcher.fetch(asking))).to.deep.equal([200, 'bytes']);
  });

  it('answers 405 to what would change something', async () => {
    const fetched = await fetcher.fetch(ask('/plain.bin', [], { method: 'DELETE' }));
    expect([fetched.status, fetched.headers.get('allow')]).to.deep.equal([405, 'GET, HEAD']);
    await read(fetched.body);
  });

  it('errors the body when the file becomes shorter while it is read', async () => {
    const path = join(folder.path, 'root/big.bin');
    await writeFile(path, Buffer.alloc(1024 * 1024));
    const { body } = await fetcher.fetch(ask('/big.bin'));
    await truncate(path, 10);
    await failure(read(body), 'upstream');
  });

  it('fails as upstream when its folder is away', async () => {
    const path = join(folder.path, 'nowhere');
    const away = new FileFetcher({ ...base('folder'), path });
    const { message } = await failure(away.fetch(ask('/x')), 'upstream');
    expect(message).to.equal(`cannot read the folder ${path}: ENOENT`);
  });
});
