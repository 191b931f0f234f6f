import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Body, CallOptions } from './body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { ExportFolder } from './export-folder.ts';
import { chooseGoRule, type GoParts, namespaceOf } from './go-rules.ts';
import type { ExportInput, ExportRow, ExportTotal } from './go-schemas.ts';
import { type GoproxyFile, latestOf, listOf, readGoproxyFile } from './gomod/goproxy-folder.ts';
import { goproxyPath } from './gomod/goproxy-path.ts';
import { escapeGo } from './gomod/module-path.ts';
import type { Entry } from './manifest/entry.ts';
import type { Backend } from './storage/backend.ts';
import { parseDigest } from './storage/digest.ts';
import { workThrough } from './work-queue.ts';

/** A kept file and its row of the manifest. */
interface Kept extends GoproxyFile {
  readonly entry: Entry;
}

type Backends = readonly (readonly [string, Backend])[];

/** Files copied at once. */
const CONCURRENCY = 8;
/** Rows asked for at a time. */
const PAGE = 500;

/** How many kept files an export would look at. Throws `invalid`. */
export async function exportTotal(
  parts: GoParts,
  input: ExportInput,
  { signal }: CallOptions,
): Promise<ExportTotal> {
  let files = 0;
  for await (const group of groupsOf(parts, input)) {
    signal?.throwIfAborted();
    files += group.length;
  }
  return { files };
}

/**
 * Writes what is kept of Go modules into a folder that is itself a GOPROXY, with a list and `@latest` for each module of which
 * a zip is there. What lies there already with the right bytes stays. Throws `invalid` for the rule or the folder, `aborted`.
 */
export async function* exportModules(
  parts: GoParts,
  input: ExportInput,
  options: CallOptions,
): AsyncGenerator<ExportRow> {
  // Before the folder is made.
  selectionOf(parts, input);
  await using folder = await ExportFolder.open(input.folder);
  const backends = await parts.backends();
  const supported = new Set<string>();
  for await (const group of groupsOf(parts, input)) {
    const done: ExportRow[] = [];
    const copied = workThrough(
      group,
      CONCURRENCY,
      async (kept, { signal }) => await copy(folder, backends, kept, signal),
      options,
    );
    for await (const row of copied) {
      if (row.outcome !== 'failed') done.push(row);
      yield row;
    }
    const [first] = group;
    if (first?.database === undefined) yield* listed(folder, done);
    else if (!supported.has(first.database)) {
      supported.add(first.database);
      const path = `sumdb/${first.database}/supported`;
      yield await written(folder, { module: '', version: '', file: 'supported', path }, '');
    }
  }
}

/** The files of one module at a time, those of checksum databases in pieces. */
async function* groupsOf(parts: GoParts, input: ExportInput): AsyncGenerator<readonly Kept[]> {
  let group: Kept[] = [];
  for await (const kept of keptFiles(parts, input)) {
    const [first] = group;
    const { database } = kept;
    const goesOn =
      first === undefined ||
      (first.database === database &&
        (database === undefined ? first.module === kept.module : group.length < PAGE));
    if (!goesOn) {
      yield group;
      group = [];
    }
    group.push(kept);
  }
  if (group.length > 0) yield group;
}

async function* keptFiles(parts: GoParts, input: ExportInput): AsyncGenerator<Kept> {
  const { namespace, rule } = selectionOf(parts, input);
  const prefix = input.prefix?.replace(/\/+$/, '');
  const isWanted = ({ file, module }: GoproxyFile): boolean =>
    prefix === undefined || file === 'tile' || module === prefix || module.startsWith(`${prefix}/`);
  const begins = prefix === undefined ? [''] : [escapeGo(prefix), 'sumdb/'];
  for (const begin of begins) {
    let after: string | undefined;
    do {
      const page = await parts.manifest.list({
        namespace,
        rule,
        prefix: begin,
        after,
        limit: PAGE,
      });
      for (const entry of page.entries) {
        const file = entry.status === 200 ? readGoproxyFile(entry.key) : undefined;
        if (file !== undefined && isWanted(file)) yield { ...file, entry };
      }
      after = page.next;
    } while (after !== undefined);
  }
}

function selectionOf(
  { config }: GoParts,
  { rule, namespace }: ExportInput,
): { readonly namespace: string; readonly rule: string | undefined } {
  if (namespace !== undefined) return { namespace, rule };
  return { namespace: namespaceOf(chooseGoRule(config, rule)), rule };
}

async function copy(
  folder: ExportFolder,
  backends: Backends,
  { entry, path, file, module, version }: Kept,
  signal: AbortSignal,
): Promise<ExportRow> {
  const { digest, size } = entry;
  const row = { module, version, file, path, size };
  const coding = entry.headers.get('content-encoding') ?? 'identity';
  if (coding !== 'identity')
    return { ...row, outcome: 'failed', problem: `it is kept as ${coding}` };
  try {
    const open = async (): Promise<Body> => await openBody(backends, entry, signal);
    return { ...row, outcome: await folder.put({ path, digest, size, open }) };
  } catch (error) {
    signal.throwIfAborted();
    return { ...row, outcome: 'failed', problem: messageOf(error) };
  }
}

async function openBody(backends: Backends, { digest }: Entry, signal: AbortSignal): Promise<Body> {
  for (const [, backend] of backends) {
    const opened = await backend.open(parseDigest(digest), { signal });
    if (opened) return opened.body;
  }
  throw new ProxyError('not-found', 'go-export.open', 'its body is missing: fetch it again first');
}

// Of what is there now, not of what is kept: a list must not name what the folder does not have.
async function* listed(
  folder: ExportFolder,
  done: readonly ExportRow[],
): AsyncGenerator<ExportRow> {
  const zips = done.filter(({ file }) => file === 'zip');
  const versions = zips.map(({ version }) => version);
  const module = zips[0]?.module;
  const latest = latestOf(versions);
  if (module === undefined || latest === undefined) return;
  const path = goproxyPath(module, 'list');
  yield await written(folder, { module, version: '', file: 'list', path }, listOf(versions));
  const info = done.find(({ file, version }) => file === 'info' && version === latest);
  const text =
    info === undefined
      ? JSON.stringify({ Version: latest })
      : await readFile(join(folder.root, info.path), 'utf8');
  const place = goproxyPath(module, 'latest');
  yield await written(folder, { module, version: latest, file: 'latest', path: place }, text);
}

async function written(
  folder: ExportFolder,
  row: Pick<ExportRow, 'module' | 'version' | 'file' | 'path'>,
  text: string,
): Promise<ExportRow> {
  const size = Buffer.byteLength(text);
  try {
    return { ...row, size, outcome: await folder.putText(row.path, text) };
  } catch (error) {
    return { ...row, size, outcome: 'failed', problem: messageOf(error) };
  }
}
