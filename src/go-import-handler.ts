import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions } from './body.ts';
import { codeOf, messageOf, ProxyError } from './errors.ts';
import { ModuleFolderFetcher } from './fetchers/module-folder-fetcher.ts';
import { type Asked, askFor } from './go-ask.ts';
import { type GoParts, isStoredIn, openGoRule, requestFor } from './go-rules.ts';
import { DEFAULT_CONCURRENCY, type FillRow, type ImportInput } from './go-schemas.ts';
import type { GoproxyFile } from './gomod/goproxy-folder.ts';
import type { HashThread } from './gomod/hash-thread.ts';
import {
  type FoundFile,
  filesIn,
  findModuleFolder,
  type ModuleFolder,
  zipHashPlace,
} from './gomod/module-folder.ts';
import { hashModuleZip } from './gomod/zip-hash.ts';
import { workThrough } from './work-queue.ts';

type Found = Extract<FoundFile, GoproxyFile>;

/** Larger ones are no `.info` file. Bytes. */
const MAX_INFO = 1024 * 1024;
const H1 = /^h1:[A-Za-z0-9+/]{43}=$/;

/** How many files an import would look at. Throws `invalid` for the folder. */
export async function importTotal(
  input: ImportInput,
  { signal }: CallOptions,
): Promise<{ readonly files: number }> {
  let files = 0;
  for await (const found of filesIn(await openFolder(input))) {
    signal?.throwIfAborted();
    if ('problem' in found || found.file !== 'latest') files += 1;
  }
  return { files };
}

/**
 * Keeps what lies in a folder of modules as if the rule had fetched it: same checks, same first digests, nothing that is kept is
 * replaced. Lists are left out: they follow from the versions. Throws `invalid` for the rule or the folder, `aborted`.
 */
export async function* importModules(
  parts: GoParts,
  input: ImportInput,
  options: CallOptions,
): AsyncGenerator<FillRow> {
  const rule = await openGoRule(parts, input.rule);
  const folder = await openFolder(input);
  const fetcher = new ModuleFolderFetcher({ name: 'import', folder, metrics: parts.metrics });
  const protocol = rule.protocol.filledFrom(fetcher);
  const databases = new Set(rule.protocol.sumdbNames);
  let wanted = 0;
  const take = async (found: Found, signal: AbortSignal): Promise<Asked> => {
    const problem = await problemOf(folder, found, parts.hashThread);
    if (problem !== undefined) return { outcome: 'failed', size: 0, problem };
    const { path } = found;
    const asked = await askFor(protocol, requestFor(parts, rule.config, path, input.dryRun), {
      manifest: parts.manifest,
      isStored: async (digest) => await isStoredIn(parts, digest),
      namespace: rule.namespace,
      key: path,
      signal,
    });
    return asked.outcome === 'kept' ? await compared(folder, found, asked) : asked;
  };
  yield* workThrough(
    wantedIn(folder, databases),
    DEFAULT_CONCURRENCY,
    async (found, { signal }): Promise<FillRow> => {
      wanted += 1;
      if ('problem' in found) return unread(found.place, found.problem, wanted);
      const { outcome, size, problem } = await take(found, signal);
      const { file, module, version, path } = found;
      if (file === 'latest') throw new TypeError('no tree is imported');
      const said = problem !== undefined && { problem };
      return { module, version, file, path, outcome, size, wanted, ...said };
    },
    options,
  );
}

async function openFolder({ folder, format }: ImportInput): Promise<ModuleFolder> {
  const fail = (what: string): never => {
    throw new ProxyError('invalid', 'go-import.open', what);
  };
  try {
    if (!statSync(folder).isDirectory()) return fail(`${folder} is no folder`);
    const found = await findModuleFolder(folder, format);
    return found ?? fail(`no modules in ${folder}: name its layout with --format if there are any`);
  } catch (error) {
    const code = codeOf(error);
    if (error instanceof ProxyError || code === undefined) throw error;
    return fail(
      code === 'ENOENT' ? `there is no folder ${folder}` : `cannot read ${folder}: ${code}`,
    );
  }
}

async function* wantedIn(
  folder: ModuleFolder,
  databases: ReadonlySet<string>,
): AsyncGenerator<FoundFile> {
  for await (const found of filesIn(folder)) {
    const skip =
      !('problem' in found) &&
      (found.file === 'latest' || (found.database !== undefined && !databases.has(found.database)));
    if (!skip) yield found;
  }
}

/** Why a file is not what its name says. Absent: nothing is known against it. */
async function problemOf(
  folder: ModuleFolder,
  found: Found,
  thread: HashThread,
): Promise<string | undefined> {
  const place = join(folder.root, found.place);
  try {
    if (found.file === 'info') return await problemOfInfo(place, found.version);
    if (found.file !== 'zip' || folder.format !== 'modcache') return undefined;
    const expected = (await readFile(zipHashPlace(place), 'utf8')).trim();
    if (!H1.test(expected)) return 'the hash that the module cache noted is malformed';
    const zip = await hashModuleZip(createReadStream(place), { ...found, thread });
    if (zip.h1 === expected) return undefined;
    return zip.h1 === undefined
      ? `it cannot be hashed: ${zip.problem ?? zip.unknown}`
      : `it has ${zip.h1}, the module cache noted ${expected}`;
  } catch (error) {
    // Without a hash beside it there is nothing to compare with.
    return codeOf(error) === 'ENOENT' ? undefined : messageOf(error);
  }
}

async function problemOfInfo(place: string, version: string): Promise<string | undefined> {
  if (statSync(place).size > MAX_INFO) return `more than ${MAX_INFO} bytes`;
  try {
    const info: unknown = JSON.parse(await readFile(place, 'utf8'));
    const said = (info as { readonly Version?: unknown } | null)?.Version;
    return said === version ? undefined : `it names version ${JSON.stringify(said)}`;
  } catch (error) {
    if (codeOf(error) !== undefined) throw error;
    return 'it is not JSON';
  }
}

// What must never change: other bytes are told, and stay out.
async function compared(folder: ModuleFolder, found: Found, asked: Asked): Promise<Asked> {
  if (found.file === 'info' || found.file === 'lookup') return asked;
  const hash = createHash('sha256');
  const stream = createReadStream(join(folder.root, found.place));
  for await (const piece of stream as AsyncIterable<Buffer>) hash.update(piece);
  if (asked.digest === undefined || hash.digest('hex') === asked.digest) return asked;
  return { ...asked, outcome: 'failed', problem: 'other bytes are kept under its name, and stay' };
}

function unread(place: string, problem: string, wanted: number): FillRow {
  return {
    ...{ module: '', version: '', file: 'zip', path: place, outcome: 'failed', size: 0 },
    wanted,
    problem,
  };
}
