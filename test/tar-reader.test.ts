import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { pack } from 'tar-stream';
import { digestOf } from '../src/storage/digest.ts';
import { readTar } from '../src/tar-reader.ts';
import type { TarEntry } from '../src/tar-schemas.ts';
import { type TempFolder, tempFolder } from './support/temp-folder.ts';

type Type = 'file' | 'symlink' | 'link' | 'directory' | 'fifo' | 'character-device';
type Member = readonly [name: string, text: string, type?: Type, linkname?: string];

const BODY = 'some bytes';
const DIGEST = digestOf(Buffer.from(BODY));
const HEAD: Member = ['caje.json', '{"format":"caje-tar","version":1}'];
const END: Member = ['end.json', '{"rows":1,"bodies":1}'];
const CONTENT: Member = [`bodies/${DIGEST}`, BODY];
const ENTRY: TarEntry = {
  ...{ namespace: 'web', key: 'http://a.test/', variant: '', rule: 'site', method: 'GET' },
  ...{ url: 'http://a.test/', publicHost: 'a.test', vary: [], requestHeaders: [], status: 200 },
  headers: ['Content-Type', 'text/plain'],
  policy: {
    ...{ receivedAt: 1, initialAge: 0, alwaysRevalidate: false, mustRevalidate: false },
    ...{ staleWhileRevalidateUntil: 0, staleIfErrorUntil: 0 },
  },
  ...{ source: 'site', freshUntil: 2, staleAt: 3, digest: DIGEST, size: BODY.length },
};

const rowsWith = (more: object): Member => [
  'rows/0.ndjson',
  `${JSON.stringify({ ...ENTRY, ...more })}\n`,
];
const ROWS = rowsWith({});

describe('readTar', () => {
  let folder: TempFolder;

  beforeEach(async () => {
    folder = await tempFolder();
  });

  afterEach(async () => await folder[Symbol.asyncDispose]());

  async function archiveOf(members: readonly Member[]): Promise<string> {
    const tar = pack();
    for (const [name, text, type = 'file', linkname] of members)
      tar.entry({ name, type, ...(linkname !== undefined && { linkname }) }, text);
    tar.finalize();
    const file = join(folder.path, 'a.tar');
    const pieces: Buffer[] = [];
    for await (const piece of tar as AsyncIterable<Buffer>) pieces.push(piece);
    await writeFile(file, Buffer.concat(pieces));
    return file;
  }

  async function read(members: readonly Member[]): Promise<string[]> {
    const seen: string[] = [];
    for await (const part of readTar(await archiveOf(members))) {
      if ('rows' in part) seen.push(...part.rows.map(({ key }) => key));
      else seen.push((await buffer(part.body)).toString());
    }
    return seen;
  }

  async function refusal(members: readonly Member[]): Promise<string> {
    try {
      await read(members);
    } catch (error) {
      return error instanceof Error ? error.message : '';
    }
    throw new Error('it was read');
  }

  it('gives rows and bodies in order', async () => {
    expect(await read([HEAD, ROWS, CONTENT, END])).to.deep.equal([ENTRY.key, BODY]);
  });

  it('goes on where a body was not read', async () => {
    const end: Member = ['end.json', '{"rows":1,"bodies":2}'];
    const file = await archiveOf([HEAD, ROWS, CONTENT, CONTENT, end]);
    let parts = 0;
    for await (const part of readTar(file)) {
      parts += 1;
      if ('body' in part) part.body.destroy();
    }
    expect(parts).to.equal(3);
  });

  for (const [what, members, said] of [
    ['that begins otherwise', [ROWS, CONTENT, END], 'it begins with "rows/0.ndjson"'],
    ['of another version', [['caje.json', '{"format":"caje-tar","version":2}']], 'version'],
    ['without an end', [HEAD, ROWS, CONTENT], 'its end is missing'],
    ['that is empty', [], 'its end is missing'],
    ['with less than its end says', [HEAD, ROWS, END], 'does not hold what its end says'],
    ['that goes on after its end', [HEAD, ROWS, CONTENT, END, CONTENT], 'comes after its end'],
    ['with a path upwards', [HEAD, ['bodies/../../etc/passwd', 'x']], 'no archive of caje has'],
    ['with an absolute path', [HEAD, [`/bodies/${DIGEST}`, BODY]], 'no archive of caje has'],
    ['with a name that is no digest', [HEAD, ['bodies/ABC', 'x']], 'no archive of caje has'],
    ['with rows out of turn', [HEAD, ['rows/1.ndjson', '']], 'no archive of caje has'],
    ['with a symbolic link', [HEAD, [CONTENT[0], '', 'symlink', '/etc/passwd']], 'no plain file'],
    ['with a hard link', [HEAD, [CONTENT[0], '', 'link', '/etc/passwd']], 'no plain file'],
    ['with a folder', [HEAD, ['bodies', '', 'directory']], 'no plain file'],
    ['with a pipe', [HEAD, [CONTENT[0], '', 'fifo']], 'no plain file'],
    ['with a device', [HEAD, [CONTENT[0], '', 'character-device']], 'no plain file'],
    ['with rows that are no JSON', [HEAD, ['rows/0.ndjson', '{']], 'is not JSON'],
    ['with an unknown field', [HEAD, rowsWith({ more: 1 })], 'rows/0.ndjson'],
    ['with a line break in a header', [HEAD, rowsWith({ headers: ['A', 'b\r\nC: d'] })], 'headers'],
    ['with a header without a value', [HEAD, rowsWith({ headers: ['A'] })], 'headers'],
    ['with a bad header name', [HEAD, rowsWith({ headers: ['A b', 'c'] })], 'headers'],
    ['with a bad status', [HEAD, rowsWith({ status: 99 })], 'status'],
    ['with a bad digest', [HEAD, rowsWith({ digest: '../x' })], 'digest'],
    ['with a negative size', [HEAD, rowsWith({ size: -1 })], 'size'],
    ['with a huge head', [['caje.json', ' '.repeat(70_000)]], 'more than 65536'],
    ['with huge rows', [HEAD, ['rows/0.ndjson', '\n'.repeat(17 * 1024 * 1024)]], 'more than'],
  ] as readonly (readonly [string, readonly Member[], string])[]) {
    it(`refuses one ${what}`, async () => {
      expect(await refusal(members)).to.include(said);
      expect(await readdir(folder.path)).to.deep.equal(['a.tar']);
    });
  }

  it('refuses a folder, and a file that is not there', async () => {
    for (const [path, said] of [
      [folder.path, 'is no file'],
      [join(folder.path, 'none'), 'ENOENT'],
    ] as const) {
      let message = '';
      try {
        await readTar(path).next();
      } catch (error) {
        message = error instanceof Error ? error.message : '';
      }
      expect(message).to.include(said);
    }
  });
});
