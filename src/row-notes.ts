import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import type { ConfiguredStorages } from './configured-storages.ts';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import { ManifestRows } from './manifest/manifest-rows.ts';
import { NotesLog } from './row-notes-log.ts';
import type { Backend } from './storage/backend.ts';
import { keepersIn, type NotesKeeper } from './storage/notes.ts';

/** What notes of rows are made from, and where they go. */
export interface RowNotesOptions {
  readonly config: Pick<Config, 'rules'>;
  readonly storage: ConfiguredStorages;
  readonly manifest: Pick<Manifest, 'onChange'>;
  /** Of a file with the manifest's rows that may be read at any time. */
  readonly path: string;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A store that keeps notes, and the rules whose bodies it keeps. */
export interface NotedStore {
  readonly name: string;
  readonly store: NotesKeeper;
  /** In order of name. */
  readonly rules: readonly string[];
}

/** From a change until it is noted, at most, while the stores take notes. */
const EVERY_MS = 5000;
/** The same from what may be a purge. */
const SOON_MS = 50;
/** Longest that the end of a node waits for the last notes. */
const CLOSE_MS = 2000;

/**
 * Keeps, beside the bodies of each store, what the manifest says of them, so that `reindex` can make it anew: in the background,
 * some seconds behind, off the way of requests. A store that takes no notes is tried again; nothing else waits for it.
 */
export class RowNotes implements AsyncDisposable {
  readonly #options: RowNotesOptions;
  readonly #logs = new Map<string, NotesLog>();
  readonly #failing = new Set<string>();
  /** Stores of which it was said that notes of an earlier manifest lie there. */
  readonly #told = new Set<string>();
  readonly #end = new AbortController();
  readonly #unsubscribe: () => void;
  #isStarted = false;
  #isDirty = false;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  #running: Promise<boolean> | undefined;
  #next: Promise<boolean> | undefined;

  constructor(options: RowNotesOptions) {
    this.#options = options;
    this.#unsubscribe = options.manifest.onChange((_, key) => {
      this.#isDirty = true;
      if (this.#isStarted) this.#schedule(key === undefined ? SOON_MS : EVERY_MS);
    });
  }

  /** Begins to follow the manifest, first with what was missed. */
  start(): void {
    this.#isStarted = true;
    this.#schedule(EVERY_MS);
  }

  /** Other rules are in force: what they keep is noted where they keep it. */
  reconfigured(): void {
    this.#logs.clear();
    this.#isDirty = true;
    if (this.#isStarted) this.#schedule(SOON_MS);
  }

  /**
   * Notes everything that is durable now. False: a store did not take it, or not within `limitMs`; it is tried again. Never rejects.
   * `forgetOthers`: notes of manifests that are gone are removed.
   */
  async flush(
    limitMs: number,
    { forgetOthers = false }: { readonly forgetOthers?: boolean } = {},
  ): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), limitMs);
    try {
      return await Promise.race([this.#round(forgetOthers), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Whether a manifest that is gone left notes, from which its rows can be had back; also where that cannot be told. Says so in the
   * log, once. Never rejects.
   */
  async hasOthers(options: CallOptions = {}): Promise<boolean> {
    const { path, log } = this.#options;
    try {
      using rows = ManifestRows.open(path);
      const manifest = rows?.namespaces()[0]?.epoch;
      let isFound = false;
      for (const store of await this.#stores()) {
        if (!(await this.#logOf(store).hasOthers(manifest, options))) continue;
        isFound = true;
        if (this.#told.has(store.name)) continue;
        this.#told.add(store.name);
        log.warn(
          { storage: store.name },
          'an earlier manifest left notes of its rows: stop the node and run caje reindex --force to have them back; bodies without an entry stay for a week',
        );
      }
      return isFound;
    } catch (error) {
      this.#options.log.debug({ reason: messageOf(error) }, 'notes of rows cannot be looked at');
      return true;
    }
  }

  /** Notes what is left, for two seconds at most. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unsubscribe();
    this.#isStarted = false;
    clearTimeout(this.#timer);
    if (this.#isDirty || this.#running !== undefined) await this.flush(CLOSE_MS);
    this.#end.abort();
    await this.#running;
  }

  #schedule(inMs: number): void {
    const dueAt = this.#options.clock.monotonic() + inMs;
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#round(false);
    }, inMs).unref();
  }

  /** A round that begins after this call; all that call while one is running share the next. */
  async #round(forgetOthers: boolean): Promise<boolean> {
    if (this.#running !== undefined && !forgetOthers) {
      this.#next ??= this.#running.then(async () => {
        this.#next = undefined;
        return await this.#round(false);
      });
      return await this.#next;
    }
    await this.#running;
    this.#running = this.#run(forgetOthers).finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  async #run(forgetOthers: boolean): Promise<boolean> {
    if (this.#end.signal.aborted) return false;
    this.#isDirty = false;
    let isNoted = true;
    try {
      using rows = ManifestRows.open(this.#options.path);
      if (rows === undefined) return true;
      for (const store of await this.#stores())
        isNoted = (await this.#follow(store, rows, forgetOthers)) && isNoted;
    } catch (error) {
      this.#fail('manifest', error);
      isNoted = false;
    }
    if (isNoted) return true;
    this.#isDirty = true;
    if (this.#isStarted) this.#schedule(EVERY_MS);
    return false;
  }

  async #follow(store: NotedStore, rows: ManifestRows, forgetOthers: boolean): Promise<boolean> {
    try {
      await this.#logOf(store).follow(rows, { forgetOthers, signal: this.#end.signal });
      if (this.#failing.delete(store.name))
        this.#options.log.info({ storage: store.name }, 'rows are noted beside their bodies again');
      return true;
    } catch (error) {
      if (!this.#end.signal.aborted) this.#fail(store.name, error);
      return false;
    }
  }

  #fail(storage: string, error: unknown): void {
    if (this.#failing.has(storage)) return;
    this.#failing.add(storage);
    // A command that found the store away says so itself, where it matters; the next start notes what is lacking.
    this.#options.log[this.#isStarted ? 'warn' : 'debug'](
      { storage, reason: messageOf(error) },
      'rows are not noted beside their bodies: a lost manifest could not be made anew from there',
    );
  }

  #logOf({ name, store, rules }: NotedStore): NotesLog {
    const { nodeId, clock, config } = this.#options;
    const known = new Set(config.rules.map((rule) => rule.name));
    const own = new Set(rules);
    const log =
      this.#logs.get(name) ??
      new NotesLog({
        notes: store.notes,
        owner: nodeId,
        rules,
        // Nobody knows where a rule that is no more kept its bodies.
        covers: (rule) => own.has(rule) || !known.has(rule),
        clock,
      });
    this.#logs.set(name, log);
    return log;
  }

  async #stores(): Promise<readonly NotedStore[]> {
    return await notedStores(this.#options.config, this.#options.storage);
  }
}

/** Stores of the rules that keep notes, each tier by itself. Throws what making a store throws. */
export async function notedStores(
  { rules }: Pick<Config, 'rules'>,
  storage: ConfiguredStorages,
): Promise<readonly NotedStore[]> {
  const found = new Map<Backend & NotesKeeper, string[]>();
  for (const { name, stash } of rules) {
    const { bodies } = await storage.stasher(stash);
    for (const store of bodies === undefined ? [] : keepersIn(bodies))
      found.set(store, [...(found.get(store) ?? []), name]);
  }
  return [...found].map(([store, names]) => ({ name: store.name, store, rules: names.toSorted() }));
}
