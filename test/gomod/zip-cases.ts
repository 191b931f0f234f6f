import { deflateRawSync } from 'node:zlib';
import { MAX_ZIP } from '../../src/gomod/zip-rules.ts';
import { buildZip, type ZipDescriptor, type ZipEntry, type ZipFrame } from '../support/go-zip.ts';
import { seededBytes } from '../support/seeded-bytes.ts';

/** A zip of a test; `prefix` is what the names in it begin with. */
export interface ZipCase {
  readonly title: string;
  readonly make: (prefix: string) => Buffer;
}

const CODE = `package one\n\n${'// A comment that repeats itself.\n'.repeat(40)}`;
const MIB = 1024 * 1024;
const SYMLINK = 0o120777;
const DESCRIPTORS: readonly ZipDescriptor[] = ['signed', 'bare', 'signed64', 'bare64'];
const PLAIN = ['go.mod', 'LICENSE', 'one.go', 'sub/two.go'];

/** A zip as the go command writes it: deflated, with descriptors. */
export function plainZip(prefix: string): Buffer {
  return buildZip(plain(prefix, { deflate: true, descriptor: 'signed' }));
}

function plain(prefix: string, more: Partial<ZipEntry> = {}): ZipEntry[] {
  return PLAIN.map((path) => ({
    name: `${prefix}${path}`,
    content: path === 'go.mod' ? 'module example.com/x\n' : `${path}\n${CODE}`,
    ...more,
  }));
}

function kind(title: string, more: Partial<ZipEntry>, frame?: ZipFrame): ZipCase {
  return { title, make: (prefix) => buildZip(plain(prefix, more), frame) };
}

/** Adds entries to a plain zip; their names follow the prefix. */
function adding(title: string, entries: readonly ZipEntry[], frame?: ZipFrame): ZipCase {
  const make = (prefix: string): Buffer =>
    buildZip(
      [
        ...plain(prefix),
        ...entries.map((entry) => ({ ...entry, name: Buffer.from(`${prefix}${entry.name}`) })),
      ],
      frame,
    );
  return { title, make };
}

function named(title: string, ...names: readonly string[]): ZipCase {
  return adding(
    title,
    names.map((name) => ({ name, content: name.endsWith('/') ? '' : CODE })),
  );
}

/** Changes what the directory says of a file more. */
function central(title: string, more: Partial<ZipEntry>): ZipCase {
  return adding(title, [{ name: 'more.go', content: CODE, deflate: true, ...more }]);
}

/** Deflated zeros, many MiB in a thousandth of it, and some bytes more. */
function zeros(mib: number, bytes = 0): Buffer {
  const block = deflateRawSync(Buffer.alloc(MIB), { finishFlush: 3 });
  return Buffer.concat([
    ...Array.from({ length: mib }, () => block),
    deflateRawSync(Buffer.alloc(bytes)),
  ]);
}

function blank(name: string, mib: number, bytes = 0): ZipEntry {
  const central = { size: mib * MIB + bytes, crc: 0 };
  return { name, content: '', deflate: true, raw: zeros(mib, bytes), central };
}

/** Zips that the go command takes, some of them strange. */
export function goodZips(): ZipCase[] {
  const inner = buildZip([{ name: 'inner.txt', content: CODE }]);
  const large = Buffer.concat([seededBytes(300_000), Buffer.alloc(3 * MIB, 'zip')]);
  return [
    kind('stored files', {}),
    kind('deflated files', { deflate: true }),
    ...DESCRIPTORS.flatMap((descriptor) => [
      kind(`deflated files with descriptors: ${descriptor}`, { deflate: true, descriptor }),
      kind(`stored files with descriptors: ${descriptor}`, { descriptor }),
    ]),
    kind('64-bit sizes', { zip64: true }, { zip64: true }),
    kind('64-bit sizes of deflated files', { zip64: true, deflate: true }),
    kind('a comment', {}, { comment: Buffer.from('a comment') }),
    kind('bytes before the zip', {}, { before: Buffer.from('#!/bin/sh\nexit\n') }),
    kind('bytes before the directory', {}, { gap: Buffer.alloc(1000, 'gap') }),
    kind('bytes behind the zip', {}, { after: Buffer.alloc(900, 'rest') }),
    kind('a mark of encryption on what is plain', { local: { flags: 1 }, central: { flags: 1 } }),
    kind('modes of symbolic links', { mode: SYMLINK }),
    kind('other names in the files’ own headers', { localName: 'x' }),
    kind('no CRC', { central: { crc: 0 } }),
    kind('wrong CRCs and sizes in the own headers of deflated files', {
      deflate: true,
      local: { crc: 1, packed: 3, size: 3 },
    }),
    kind('wrong sizes in the own headers of stored files', { local: { packed: 3, size: 3 } }),
    kind('another method in the own headers', { deflate: true, local: { method: 0 } }),
    { title: 'files in another order', make: (prefix) => buildZip(plain(prefix).reverse()) },
    { title: 'no file at all', make: () => buildZip([]) },
    { title: 'the folder itself', make: (p) => buildZip([{ name: p, content: '' }, ...plain(p)]) },
    named('folders, some of them twice', 'a/', 'a/b/', 'a/', 'a/b/c.go'),
    named('names of letters and of signs', 'ä/日本.go', 'a b!#$%&()+,-=@[]^_{}~.txt', '-x', '.a'),
    named('names that sort apart as bytes', 'b/\uff21.txt', 'b/\u{20000}.txt', 'b.txt', 'b-.txt'),
    named('letters that only look equal', 'ı.go', 'i.go', 'ß.go', 'ss.go'),
    named('LICENSE files of any case below the root', 'a/license', 'b/LICENSE', 'vendor/x.go'),
    adding('an empty file, deflated, with a descriptor', [
      { name: 'empty', content: '', deflate: true, descriptor: 'signed' },
      { name: 'empty2', content: '', descriptor: 'bare' },
    ]),
    adding('a zip in a zip', [
      { name: 'a.zip', content: inner },
      { name: 'b.zip', content: inner, descriptor: 'signed' },
      { name: 'c.zip', content: Buffer.concat([inner, inner]), descriptor: 'bare' },
      { name: 'd.zip', content: inner, deflate: true, descriptor: 'signed' },
    ]),
    ...(['signed', 'bare64'] as const).map((descriptor) =>
      adding(`large files, ${descriptor}`, [
        { name: 'large1', content: large, deflate: true, descriptor },
        { name: 'large2', content: large, descriptor },
        { name: 'large3', content: large, deflate: true },
        { name: 'large4', content: large },
      ]),
    ),
    adding('a second name for the same bytes', [
      { name: 'one', content: CODE },
      {
        name: 'two',
        content: CODE,
        isAlias: true,
        central: { offset: 0, packed: 21, size: 21, crc: 0 },
      },
    ]),
    adding(
      '65,600 folders',
      Array.from({ length: 65_600 }, (_, i) => ({ name: `d${i}/`, content: '' })),
    ),
    central('deflated bytes that are followed by others', {
      raw: Buffer.concat([deflateRawSync(CODE), Buffer.alloc(100)]),
    }),
    {
      title: 'a go.mod and a LICENSE at the limit',
      make: (prefix) =>
        buildZip(['go.mod', 'LICENSE'].map((path) => blank(`${prefix}${path}`, 16))),
    },
  ];
}

/** Zips that the go command refuses. */
export function badZips(): ZipCase[] {
  const garbage = Buffer.from('no zip at all');
  return [
    { title: 'nothing', make: () => Buffer.alloc(0) },
    { title: 'what is no zip', make: () => garbage },
    { title: 'a page of HTML', make: () => Buffer.from('<html>'.repeat(20_000)) },
    { title: 'names of another module', make: () => plainZip('example.com/other@v1.0.0/') },
    { title: 'escaped names', make: () => plainZip('example.com/!case@v1.0.0/') },
    { title: 'names without the version', make: (prefix) => plainZip(prefix.replace(/@.*/, '/')) },
    { title: 'one file outside', make: (p) => buildZip([...plain(p), { name: 'x', content: '' }]) },
    named('names that climb', '../../x'),
    named('names that climb within', 'a/../../x'),
    named('absolute names', '/etc/x'),
    named('names with a dot element', './x.go'),
    named('names with an empty element', 'a//x.go'),
    named('names with a folder of no name', '/'),
    named('names with a backslash', 'a\\b.go'),
    named('names with a colon', 'c:x.go'),
    named('names with a newline', 'a\nb'),
    named('names with a NUL', 'a\0b'),
    named('names with a character that is no letter', 'a\u2028b', '€'),
    named('names that end in a dot', 'a.'),
    named('names reserved on Windows', 'a/con.txt'),
    named('the same name twice', 'a.go', 'a.go'),
    named('names that differ only in case', 'a.go', 'A.go'),
    named('names that differ only in case beyond ASCII', 'straße/ä', 'straße/Ä'),
    named('names with a Kelvin sign', 'k.go', '\u212a.go'),
    named('names with three sigmas', 'σ.go', 'ς.go'),
    named('folders that differ only in case', 'a/x.go', 'A/y.go'),
    named('a file that is a folder', 'a', 'a/b.go'),
    named('a folder that is a file', 'a/', 'a'),
    named('a go.mod below the root', 'a/go.mod'),
    named('a go.mod below the root in another case', 'a/Go.Mod'),
    { title: 'a GO.MOD', make: (p) => buildZip([{ name: `${p}GO.MOD`, content: CODE }]) },
    {
      title: 'names that are not UTF-8',
      make: (p) =>
        buildZip([{ name: Buffer.concat([Buffer.from(p), Buffer.from([0xff])]), content: '' }]),
    },
    central('a size that is too small', { central: { size: 100 } }),
    central('a size that is too large', { central: { size: CODE.length + 1 } }),
    central('a packed size that is too small', { central: { packed: 20 } }),
    central('a stored size that lies', { deflate: false, central: { size: 100 } }),
    central('a CRC that lies', { central: { crc: 1 } }),
    central('a CRC of zero with a descriptor', { descriptor: 'signed', central: { crc: 0 } }),
    central('a method that nobody knows', { central: { method: 99 }, local: { method: 99 } }),
    central('bytes that cannot be unpacked', { raw: Buffer.alloc(100, 0xff) }),
    central('bytes that stop in the middle', {
      raw: deflateRawSync(CODE).subarray(0, 20),
      central: { packed: 20 },
    }),
    central('a header that is not there', { central: { offset: 5 } }),
    central('a header behind the end', { central: { offset: 1e9 } }),
    central('a descriptor that is not there', { central: { flags: 8 } }),
    adding('a folder with content', [{ name: 'a/', content: CODE }]),
    { title: 'a bomb', make: (p) => buildZip([blank(`${p}bomb`, 510)]) },
    central('a bomb that says it is small', { raw: zeros(100), central: { size: 100 } }),
    central('a size that nobody can have', {
      deflate: false,
      zip64: true,
      central: { size: 2 ** 52 },
    }),
    adding('files that are too large together', [
      { name: 'a', content: '', deflate: true, raw: zeros(1), central: { size: MIB, crc: 0 } },
      { name: 'b', content: '', isAlias: true, central: { size: MAX_ZIP, offset: 0 } },
    ]),
    {
      title: 'a LICENSE that is too large',
      make: (prefix) => buildZip([blank(`${prefix}LICENSE`, 16, 1)]),
    },
    {
      title: 'a go.mod that is too large',
      make: (prefix) => buildZip([blank(`${prefix}go.mod`, 16, 1)]),
    },
    kind('an end that counts otherwise', {}, { count: 3 }),
    kind('an end too far from its end', {}, { after: Buffer.alloc(70_000) }),
    kind(
      'a comment that is cut',
      {},
      { comment: Buffer.from('PK\x05\x06'.padEnd(30, '\xff'), 'latin1') },
    ),
  ];
}
