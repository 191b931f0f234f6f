import { goproxyPath, readGoproxyPath } from '../gomod/goproxy-path.ts';
import { escapeGo } from '../gomod/module-path.ts';
import { compareVersions, isPseudoVersion } from '../gomod/version.ts';
import type { Entry } from '../manifest/entry.ts';
import type { EntryPage, Manifest } from '../manifest/manifest.ts';
import { digestOf } from '../storage/digest.ts';

/** A version whose zip is kept, names unescaped. */
export interface KeptVersion {
  readonly module: string;
  readonly version: string;
  /** Milliseconds since the epoch, as `firstSeenAt` of the zip's entry. */
  readonly keptAt: number;
}

/** Some of them. */
export interface KeptPage {
  readonly versions: readonly KeptVersion[];
  /** To be handed back for those that follow. Absent: none do. */
  readonly next?: string | undefined;
}

/** What of the manifest is needed. */
export type KeptSource = Pick<Manifest, 'list' | 'seen' | 'lookup'>;

const ZIP = '.zip';
const INCOMPATIBLE = '+incompatible';
/** As many entries as the manifest gives at once. */
const PAGE = 1000;

/**
 * Which versions of Go modules are kept: those with a stored zip, whose key is its escaped GOPROXY path. Read from the
 * manifest alone, never from an upstream. Every read throws `unavailable` while the manifest cannot be read.
 */
export class KeptModules {
  readonly #manifest: KeptSource;
  readonly #namespace: string;

  constructor(manifest: KeptSource, namespace: string) {
    this.#manifest = manifest;
    this.#namespace = namespace;
  }

  /** Kept versions of a module without pseudo-versions, lowest first. */
  async versions(module: string): Promise<readonly string[]> {
    return (await this.#all(module)).filter((version) => !isPseudoVersion(version));
  }

  /** The body of a `@v/list`, '' where only pseudo-versions are kept. Absent: nothing of the module is kept. */
  async list(module: string): Promise<string | undefined> {
    const all = await this.#all(module);
    if (all.length === 0) return undefined;
    const tagged = all.filter((version) => !isPseudoVersion(version));
    return tagged.map((version) => `${version}\n`).join('');
  }

  /**
   * The kept version that a go command takes for `latest`: the highest release, else the highest pre-release, else the
   * newest pseudo-version. `+incompatible` counts only where the version below has no go.mod (golang.org/issue/34165).
   * Absent: nothing of the module is kept. `infoKey` is where its `.info` would be kept, which may not be so.
   */
  async latest(
    module: string,
  ): Promise<{ readonly version: string; readonly infoKey: string } | undefined> {
    const all = await this.#all(module);
    const tagged = all.filter((version) => !isPseudoVersion(version));
    const wanted = await this.#wanted(module, tagged);
    const version =
      wanted.findLast((one) => !isPrerelease(one)) ?? wanted.at(-1) ?? newestPseudo(all);
    return version === undefined
      ? undefined
      : { version, infoKey: goproxyPath(module, 'info', version) };
  }

  /** Every kept version once, in order of key. `limit` at most; throws `invalid` for an `after` that is no `next` of such a page. */
  async page(after: string | undefined, limit: number): Promise<KeptPage> {
    return await this.#collect(after, limit, (from, missing) =>
      this.#manifest.list({
        namespace: this.#namespace,
        suffix: ZIP,
        after: from,
        limit: missing,
      }),
    );
  }

  /**
   * Versions kept at `since` (milliseconds since the epoch) or later, oldest first, `limit` at most: those whose entry has
   * an h1. No two are of the same millisecond, so that `since` the last of them goes on without a gap.
   */
  async since(since: number, limit: number): Promise<readonly KeptVersion[]> {
    const { versions } = await this.#collect(undefined, limit, (after, missing) =>
      this.#manifest.seen({
        namespace: this.#namespace,
        since,
        suffix: ZIP,
        after,
        limit: missing,
      }),
    );
    return versions;
  }

  async #all(module: string): Promise<readonly string[]> {
    const versions: string[] = [];
    const prefix = `${escapeGo(module)}/@v/`;
    let after: string | undefined;
    do {
      const page = await this.#manifest.list({
        namespace: this.#namespace,
        prefix,
        suffix: ZIP,
        after,
        limit: PAGE,
      });
      for (const entry of page.entries) {
        const kept = keptVersion(entry);
        if (kept !== undefined) versions.push(kept.version);
      }
      after = page.next;
    } while (after !== undefined);
    return versions.sort(compareKept);
  }

  async #collect(
    start: string | undefined,
    limit: number,
    read: (after: string | undefined, missing: number) => Promise<EntryPage>,
  ): Promise<KeptPage> {
    const versions: KeptVersion[] = [];
    let after = start;
    do {
      const page = await read(after, Math.min(PAGE, limit - versions.length));
      for (const entry of page.entries) {
        const kept = keptVersion(entry);
        if (kept !== undefined) versions.push(kept);
      }
      after = page.next;
    } while (after !== undefined && versions.length < limit);
    return { versions, next: after };
  }

  /** Without what a go command leaves out when nobody asked for it; sorted before and after. */
  async #wanted(module: string, versions: readonly string[]): Promise<readonly string[]> {
    const compatible = versions.filter((version) => !version.endsWith(INCOMPATIBLE));
    const last = compatible.at(-1);
    if (last === undefined || compatible.length === versions.length) return versions;
    const key = goproxyPath(module, 'mod', last);
    const [mod] = await this.#manifest.lookup(this.#namespace, key);
    // What the go command makes up for a version without a go.mod.
    const madeUp = digestOf(Buffer.from(`module ${module}\n`));
    return mod?.status === 200 && mod.digest === madeUp ? versions : compatible;
  }
}

function keptVersion({ key, status, firstSeenAt }: Entry): KeptVersion | undefined {
  if (status !== 200) return undefined;
  // A lookup of a checksum database may end like a zip.
  const read = readGoproxyPath(key);
  if ('reason' in read || read.file !== 'zip') return undefined;
  return { module: read.module, version: read.version, keptAt: firstSeenAt };
}

function compareKept(one: string, other: string): number {
  const order = compareVersions(one, other);
  if (order !== 0) return order;
  return one < other ? -1 : Number(one > other);
}

function isPrerelease(version: string): boolean {
  return version.split('+', 1)[0]?.includes('-') ?? false;
}

/** By the time in its name; of the same second the higher one. */
function newestPseudo(versions: readonly string[]): string | undefined {
  let newest: string | undefined;
  for (const version of versions) {
    if (newest === undefined || pseudoTime(version) >= pseudoTime(newest)) newest = version;
  }
  return newest;
}

function pseudoTime(version: string): string {
  return /(\d{14})-[^-]+$/.exec(version)?.[1] ?? '';
}
