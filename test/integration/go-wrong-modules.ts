import { gzipSync } from 'node:zlib';
import type { GoRegistry } from '../support/go-registry.ts';
import { goZip } from '../support/go-zip.ts';

/** What a network sends that wants a person to log in. */
export const HTML = '<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n';
/** Of every module here. */
export const VERSION = 'v1.0.0';
/** Where the uncompressed size stands in a zip's central directory, from the entry's signature on. */
const CENTRAL_SIZE_AT = 24;
const CENTRAL = Buffer.from([0x50, 0x4b, 1, 2]);

/** One thing that is wrong with a module, what a client then does, and its own words for it. */
export interface WrongModule {
  readonly title: string;
  /** Lays it over a release `v1.0.0`; `at` is its path up to the ending, without the dot. */
  lay(registry: GoRegistry, module: string, at: string): void;
  command(module: string): readonly string[];
  readonly says: RegExp;
}

/** Arguments that download a module. */
export const download = (module: string): readonly string[] => [
  'mod',
  'download',
  `${module}@${VERSION}`,
];
const version = (module: string): readonly string[] => ['list', '-m', `${module}@${VERSION}`];
const latest = (module: string): readonly string[] => ['list', '-m', `${module}@latest`];
const versions = (module: string): readonly string[] => ['list', '-m', '-versions', module];

/** A zip that is wrong in its names or contents. */
function zipOf(
  title: string,
  says: RegExp,
  make: (module: string) => string | Buffer,
): WrongModule {
  return {
    title: `a zip ${title}`,
    lay: (registry, module, at) => registry.put(`${at}.zip`, make(module)),
    command: download,
    says,
  };
}

/** Of a module that is well. */
export const FILES = { 'go.mod': 'module example.com/x\n', 'one.go': 'package one\n' };

/** Says in its central directory that its first file is larger than any module may be. */
function swollen(zip: Buffer): Buffer {
  const copy = Buffer.from(zip);
  copy.writeUInt32LE(0xf0000000, copy.indexOf(CENTRAL) + CENTRAL_SIZE_AT);
  return copy;
}

/** What the go command refuses. */
export const WRONGS: readonly WrongModule[] = [
  zipOf('that is a page', /not a valid zip file/, () => HTML),
  zipOf('that is empty', /not a valid zip file/, () => ''),
  zipOf('cut at its end', /not a valid zip file/, (module) =>
    goZip(module, VERSION, FILES).subarray(0, -30),
  ),
  zipOf('of another module', /has unexpected file/, () =>
    goZip('example.com/other', VERSION, FILES),
  ),
  zipOf('of another version', /has unexpected file/, (module) => goZip(module, 'v1.0.1', FILES)),
  zipOf('that leaves its folder', /malformed file path|invalid path element/, (module) =>
    goZip(module, VERSION, { ...FILES, '../../../../evil.go': 'package evil\n' }),
  ),
  zipOf('with names that differ in case', /case-insensitive file name collision/, (module) =>
    goZip(module, VERSION, { ...FILES, 'ONE.go': 'package one\n' }),
  ),
  zipOf('with a name for devices', /disallowed as path element/, (module) =>
    goZip(module, VERSION, { ...FILES, 'con.go': 'package one\n' }),
  ),
  zipOf('that would be too large unpacked', /unexpected EOF|too large/, (module) =>
    swollen(goZip(module, VERSION, FILES)),
  ),
  zipOf('with two go.mod files', /go\.mod file not in module root/, (module) =>
    goZip(module, VERSION, { ...FILES, 'sub/go.mod': 'module example.com/sub\n' }),
  ),
  {
    title: 'a .info of another version',
    lay: (registry, _, at) => registry.put(`${at}.info`, '{"Version":"v1.0.1"}'),
    command: version,
    says: /returned wrong version|does not match|proxy returned info for version v1\.0\.1/,
  },
  {
    title: 'a .info that is a page',
    lay: (registry, _, at) => registry.put(`${at}.info`, HTML),
    command: version,
    says: /invalid response from proxy.*invalid character '<'/,
  },
  {
    title: 'a .info that is cut JSON',
    lay: (registry, _, at) => registry.put(`${at}.info`, '{"Version":"v1.0'),
    command: version,
    says: /invalid response from proxy.*unexpected end of JSON input/,
  },
  {
    title: 'a @latest that is a page',
    lay(registry, module) {
      registry.put(`/${module}/@v/list`, '');
      registry.put(`/${module}/@latest`, HTML);
    },
    command: latest,
    says: /invalid response from proxy.*invalid character '<'/,
  },
  {
    title: 'a list that is a page',
    lay: (registry, module) => registry.put(`/${module}/@v/list`, HTML),
    command: latest,
    says: /no matching versions|404 Not Found/,
  },
  {
    title: 'a go.mod of another module',
    lay: (registry, _, at) => registry.put(`${at}.mod`, 'module example.com/other\n'),
    command: (module) => ['get', `${module}@${VERSION}`],
    says: /module declares its path as: example\.com\/other/,
  },
  {
    title: 'a go.mod that is a page',
    lay: (registry, _, at) => registry.put(`${at}.mod`, HTML),
    command: (module) => ['get', `${module}@${VERSION}`],
    says: /parsing go\.mod/,
  },
];

/** What the go command takes. */
export interface FineModule extends Omit<WrongModule, 'says'> {
  prints(module: string): string;
}

/** What is well all the same. */
export const FINE: readonly FineModule[] = [
  {
    title: 'a list with CRLF, without an end, with times and with what is no version',
    lay(registry, module) {
      registry.release(module, 'v1.1.0');
      registry.put(`/${module}/@v/list`, 'v1.0.0 2024\r\nmaster\n\u0000\u0007\n\nv1.1.0');
    },
    command: versions,
    prints: (module) => `${module} v1.0.0 v1.1.0\n`,
  },
  {
    title: 'a list of a million lines',
    lay: (registry, module) =>
      registry.put(
        `/${module}/@v/list`,
        `${Array.from({ length: 1_000_000 }, (_, at) => `no-version-${at}\n`).join('')}v1.0.0\n`,
      ),
    command: versions,
    prints: (module) => `${module} v1.0.0\n`,
  },
  {
    title: 'files in a coding that nobody asked for',
    lay(registry, module, at) {
      const list = `/${module}/@v/list`;
      for (const path of [list, `${at}.info`, `${at}.mod`, `${at}.zip`]) {
        const body = gzipSync(registry.reply(path).body as string | Buffer);
        registry.put(path, { body, headers: { 'Content-Encoding': 'gzip' } });
      }
    },
    command: (module) => ['mod', 'download', `${module}@latest`],
    prints: () => '',
  },
];
