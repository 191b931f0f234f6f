import { goZip } from '../../test/support/go-zip.ts';
import { pieceAt } from './pattern.ts';

// All versions of a module are as long as this one, so that the others' zips are this one's with another name in it.
const FIRST_MINOR = 10_000;
const TEMPLATE_VERSION = `v1.${FIRST_MINOR}.0`;
const ENDINGS = ['info', 'mod', 'zip'];
/** What holds all names at the begin of a zip, and at its end. */
const EDGE_BYTES = 2048;

/** A module that exists in 90,000 versions, each a stored zip with one large file. */
export interface ZipModule {
  /** Bytes of the large file, at least 8 KiB; the zip has some hundred more. */
  readonly bytes: number;
  /** Bytes per second at which its zips arrive; 0: as fast as they can. */
  readonly bytesPerSecond: number;
}

/** Path of a file of the version with a number, below a GOPROXY address. */
export function zipModulePath(
  module: ZipModule,
  number: number,
  ending: 'info' | 'mod' | 'zip',
): string {
  return `/${nameOf(module)}/@v/v1.${FIRST_MINOR + number}.0.${ending}`;
}

/** What `zipModulePath` made. Absent: another path. */
export function readZipModulePath(
  path: string,
): { readonly module: ZipModule; readonly version: string; readonly ending: string } | undefined {
  const found = /^\/bench\.example\/(\d+)\/(\d+)\/m\/@v\/(v1\.\d{5}\.0)\.([a-z]+)$/.exec(path);
  const [, bytes, bytesPerSecond, version, ending] = found ?? [];
  if (version === undefined || ending === undefined || !ENDINGS.includes(ending)) return undefined;
  const module = { bytes: Number(bytes), bytesPerSecond: Number(bytesPerSecond) };
  return { module, version, ending };
}

/** The go.mod of every version. */
export function zipModuleMod(module: ZipModule): string {
  return `module ${nameOf(module)}\n`;
}

const templates = new Map<string, Buffer>();

/** The zip of a version in pieces. They share memory with other versions'. */
export function zipModulePieces(module: ZipModule, version: string): readonly Buffer[] {
  const name = nameOf(module);
  const template = templates.get(name) ?? templateOf(module);
  templates.set(name, template);
  const behind = Math.max(EDGE_BYTES, template.length - EDGE_BYTES);
  return [
    renamed(template.subarray(0, EDGE_BYTES), version),
    template.subarray(EDGE_BYTES, behind),
    renamed(template.subarray(behind), version),
  ];
}

function templateOf(module: ZipModule): Buffer {
  const data = Buffer.alloc(module.bytes);
  for (let at = 0; at < data.length; ) at += pieceAt(at, data.length).copy(data, at);
  const files = { 'go.mod': zipModuleMod(module), 'data.bin': data };
  return goZip(nameOf(module), TEMPLATE_VERSION, files);
}

function renamed(piece: Buffer, version: string): Buffer {
  const own = Buffer.from(piece);
  for (
    let at = own.indexOf(TEMPLATE_VERSION);
    at >= 0;
    at = own.indexOf(TEMPLATE_VERSION, at + 1)
  ) {
    own.write(version, at, 'latin1');
  }
  return own;
}

function nameOf({ bytes, bytesPerSecond }: ZipModule): string {
  return `bench.example/${bytes}/${bytesPerSecond}/m`;
}
