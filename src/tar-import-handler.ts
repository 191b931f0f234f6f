import { randomUUIDv7 } from 'node:crypto';
import type { Body, CallOptions } from './body.ts';
import { didYouMean, listNames } from './config/suggest.ts';
import { copyBody } from './copy-body.ts';
import { messageOf, ProxyError } from './errors.ts';
import { HeaderList } from './headers.ts';
import { type HouseParts, storesOf } from './house-parts.ts';
import type { NewEntry } from './manifest/entry.ts';
import type { Backend } from './storage/backend.ts';
import { type Digest, parseDigest } from './storage/digest.ts';
import { tarSize } from './tar-members.ts';
import { readTar } from './tar-reader.ts';
import type { TarEntry, TarImportInput, TarRow, TarTotal } from './tar-schemas.ts';

/** What became of a row, without how far the whole is. */
type Outcome = Omit<TarRow, 'done'>;

/** How many bytes an archive has. Throws `invalid` where there is none. */
export async function tarImportTotal({ file }: TarImportInput): Promise<TarTotal> {
  return { units: await tarSize(file) };
}

/**
 * Keeps the rows of an archive whose bodies it holds, or a storage has already; each body is checked before anything names it. Nothing
 * that is kept is replaced. Throws `invalid` for the file or the rule, `integrity` for an archive that is damaged or none: what
 * came before the damage is kept.
 */
export async function* importTar(
  parts: HouseParts,
  input: TarImportInput,
  options: CallOptions,
): AsyncGenerator<TarRow> {
  checkRule(parts, input.rule);
  let done = 0;
  let group: TarGroup | undefined;
  for await (const part of readTar(input.file, options)) {
    if ('rows' in part) {
      for (const outcome of (await group?.finish()) ?? []) yield { ...outcome, done };
      group = await TarGroup.open(parts, input, part.rows);
    } else {
      done += part.size;
      for (const outcome of (await group?.take(part.digest, part.size, part.body, options)) ?? [])
        yield { ...outcome, done };
    }
  }
  for (const outcome of (await group?.finish()) ?? []) yield { ...outcome, done };
}

/** Rows of one member that wait for their bodies. */
class TarGroup {
  readonly #parts: HouseParts;
  readonly #input: TarImportInput;
  readonly #waiting = new Map<string, TarEntry[]>();
  readonly #ready: Outcome[] = [];
  readonly #positions = new Map<string, number>();

  private constructor(parts: HouseParts, input: TarImportInput) {
    this.#parts = parts;
    this.#input = input;
  }

  /** Sorts out what is kept already, and what no rule would keep. */
  static async open(
    parts: HouseParts,
    input: TarImportInput,
    rows: readonly TarEntry[],
  ): Promise<TarGroup> {
    const group = new TarGroup(parts, input);
    for (const row of rows) {
      const rule = input.rule ?? row.rule;
      if (!parts.config.rules.some(({ name }) => name === rule))
        group.#ready.push(
          failed(row, `there is no rule ${JSON.stringify(rule)}: name one with --rule`),
        );
      else if (await group.#isTaken(row)) group.#ready.push(outcomeOf(row, 'kept'));
      else {
        const { namespace } = row;
        if (!group.#positions.has(namespace))
          group.#positions.set(namespace, parts.manifest.position(namespace));
        const same = group.#waiting.get(row.digest) ?? [];
        same.push(row);
        group.#waiting.set(row.digest, same);
      }
    }
    return group;
  }

  /** Keeps a body if a row waits for it, then those rows. */
  async take(
    digest: Digest,
    size: number,
    body: Body,
    options: CallOptions,
  ): Promise<readonly Outcome[]> {
    const rows = this.#waiting.get(digest);
    if (rows === undefined) return [];
    this.#waiting.delete(digest);
    const wrong = rows.find((row) => row.size !== size);
    if (wrong !== undefined)
      return rows.map((row) => failed(row, `its body has ${size} bytes instead of ${wrong.size}`));
    if (this.#input.dryRun) return rows.map((row) => outcomeOf(row, 'would import'));
    const end = this.#parts.manifest.expect(digest);
    try {
      const missing = await this.#storesWithout(rows, digest, size);
      const [first, ...others] = missing;
      if (first !== undefined)
        await copyBody({ digest, size, body }, first, this.#parts.spool, options);
      for (const other of others) await copyOver(this.#parts, first, other, digest, options);
      return await this.#commit(rows);
    } catch (error) {
      options.signal?.throwIfAborted();
      return rows.map((row) => failed(row, messageOf(error)));
    } finally {
      end();
    }
  }

  /** Keeps the rows whose bodies came earlier, and tells of all that did not wait for one. */
  async finish(): Promise<readonly Outcome[]> {
    const outcomes = [...this.#ready];
    for (const [digest, rows] of this.#waiting) {
      const [row] = rows;
      if (row === undefined) continue;
      const missing = await this.#storesWithout(rows, parseDigest(digest), row.size);
      if (missing.length > 0)
        outcomes.push(...rows.map((one) => failed(one, 'the archive does not have its body')));
      else if (this.#input.dryRun)
        outcomes.push(...rows.map((one) => outcomeOf(one, 'would import')));
      else outcomes.push(...(await this.#commit(rows)));
    }
    return outcomes;
  }

  async #isTaken(row: TarEntry): Promise<boolean> {
    const all = await this.#parts.manifest.lookup(row.namespace, row.key);
    const kept = all.find(({ variant }) => variant === row.variant);
    if (kept === undefined) return false;
    // With the same body it may be one that is missing here, and comes back so.
    if (kept.digest !== row.digest) return true;
    return (await this.#storesWithout([row], parseDigest(row.digest), row.size)).length === 0;
  }

  async #storesWithout(
    rows: readonly TarEntry[],
    digest: Digest,
    size: number,
  ): Promise<readonly Backend[]> {
    const rules = [...new Set(rows.map((row) => this.#input.rule ?? row.rule))];
    const missing: Backend[] = [];
    for (const store of await storesOf(this.#parts, rules))
      if ((await store.stat(digest))?.size !== size) missing.push(store);
    return missing;
  }

  async #commit(rows: readonly TarEntry[]): Promise<readonly Outcome[]> {
    const results = await this.#parts.manifest.commit(
      rows.map((row) => ({
        op: 'put',
        changeId: randomUUIDv7(),
        entry: toEntry(row, this.#input.rule),
        baseJid: this.#positions.get(row.namespace) ?? 0,
        actor: 'import',
      })),
    );
    return rows.map((row, at) => {
      const { outcome } = results[at] ?? { outcome: 'dropped' };
      if (outcome === 'committed') return outcomeOf(row, 'imported');
      return failed(
        row,
        outcome === 'purged' ? 'it was purged meanwhile' : 'its row was not written',
      );
    });
  }
}

async function copyOver(
  parts: HouseParts,
  from: Backend | undefined,
  to: Backend,
  digest: Digest,
  options: CallOptions,
): Promise<void> {
  const opened = await from?.open(digest, options);
  if (opened === undefined)
    throw new ProxyError('integrity', 'tar-import-handler.copy', `${digest} went away meanwhile`);
  await copyBody(opened, to, parts.spool, options);
}

function checkRule({ config }: HouseParts, rule: string | undefined): void {
  const names = config.rules.map(({ name }) => name);
  if (rule === undefined || names.includes(rule)) return;
  throw new ProxyError(
    'invalid',
    'tar-import-handler.rule',
    `there is no rule ${JSON.stringify(rule)}${didYouMean(rule, names)}; there is ${listNames(names)}`,
  );
}

function toEntry(row: TarEntry, rule: string | undefined): NewEntry {
  const { requestHeaders, headers, h1, ...rest } = row;
  return {
    ...rest,
    rule: rule ?? row.rule,
    requestHeaders: HeaderList.fromRaw(requestHeaders),
    headers: HeaderList.fromRaw(headers),
    ...(h1 !== undefined && { h1 }),
  };
}

function outcomeOf(row: TarEntry, outcome: TarRow['outcome']): Outcome {
  const { namespace, key, variant, digest, size } = row;
  return { namespace, key, variant, digest, size, outcome };
}

function failed(row: TarEntry, problem: string): Outcome {
  return { ...outcomeOf(row, 'failed'), problem };
}
