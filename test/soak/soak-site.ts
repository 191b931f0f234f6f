import { join } from 'node:path';
import { callControl } from '../../src/http/control-client.ts';
import type { JournalPage } from '../../src/manifest/manifest.ts';
import { filesBelow } from '../support/audit-store.ts';
import { type Audit, type AuditOptions, expectSound } from '../support/auditor.ts';
import { type AskOptions, HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import { OracleOrigin, type OracleRule } from '../support/oracle-origin.ts';

/** What differs from the usual site of a row. */
export interface SoakSiteOptions {
  readonly seed: number;
  /** Keys of the configuration beside the usual ones, or in their place; or what makes the whole of it of the usual one. */
  readonly config?:
    | Readonly<Record<string, unknown>>
    | ((usual: UsualConfig) => Readonly<Record<string, unknown>>)
    | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Folder of the node. Absent: a new one. */
  readonly folder?: string | undefined;
  /** Another origin than the site's own, such as one in another process. */
  readonly originUrl?: string | undefined;
}

/** A body that came whole and whose every byte is right. */
export interface WholeBody {
  /** Version of the key that it is. */
  readonly version: number;
  /** X-Cache of the answer. */
  readonly cache: string;
}

/** What a client got: right bytes and all of them, or something that it can tell from a whole body. */
export type Got =
  | ({ readonly kind: 'whole' } & WholeBody)
  | { readonly kind: 'broken'; readonly error: Error }
  | { readonly kind: 'refused'; readonly status: number };

/** How a body is asked for. */
export interface SoakAskOptions extends AskOptions {
  /** Told how many bytes are there, each time some came. */
  arrived?(bytes: number): void;
}

/** Bodies fetched at a time, above what any row asks for at once. */
const CONCURRENT = 256;
/** Longest time that leftovers of a dead process may stay. */
const TIDY_MS = 60_000;
const POLL_MS = 10;
/** A node that does not listen by then never will, however busy the machine. */
const START_MS = 60_000;

/** An oracle origin, a node before it that stores on disk, and one client. */
export class SoakSite implements AsyncDisposable {
  readonly origin: OracleOrigin;
  readonly node: NodeProcess;
  readonly client: HttpClient = new HttpClient();
  /** What the first start took, with an empty folder. Milliseconds. */
  readonly startMs: number;
  readonly #rules: Map<string, OracleRule>;
  /** Keys that were put, as far as the journal was read. */
  #journal: { since: string; readonly put: string[] } = { since: '', put: [] };

  private constructor(
    origin: OracleOrigin,
    node: NodeProcess,
    rules: Map<string, OracleRule>,
    startMs: number,
  ) {
    this.origin = origin;
    this.node = node;
    this.#rules = rules;
    this.startMs = startMs;
  }

  static async start(options: SoakSiteOptions): Promise<SoakSite> {
    const rules = new Map<string, OracleRule>();
    const origin = await OracleOrigin.start({
      seed: options.seed,
      rule: async (request, number) => await rules.get(request.key)?.(request, number),
    });
    try {
      const { env, folder, originUrl = origin.url } = options;
      const usual = usualConfig(originUrl);
      const config =
        typeof options.config === 'function'
          ? options.config(usual)
          : { ...usual, ...options.config };
      const from = performance.now();
      const node = await NodeProcess.start({ config, env, folder, readyMs: START_MS });
      return new SoakSite(origin, node, rules, Math.round(performance.now() - from));
    } catch (error) {
      await origin[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From now on the origin answers this key so, on top of what its query spells. */
  serve(key: string, rule: OracleRule): void {
    this.#rules.set(key, rule);
  }

  /**
   * Asks the node and checks every byte against the versions that the key has had so far. Throws `WrongBodyError` for a
   * wrong byte, and for a body that ends cleanly without having all of its bytes.
   */
  async ask(key: string, size: number, options: SoakAskOptions = {}): Promise<Got> {
    const check = this.origin.check(key, { size });
    try {
      const { status, headers, body } = await this.client.stream(this.node.url + key, options);
      const pieces = body as AsyncIterable<Buffer>;
      if (status !== 200) {
        for await (const _ of pieces);
        return { kind: 'refused', status };
      }
      for await (const piece of pieces) {
        check.write(piece);
        options.arrived?.(check.size);
      }
      return { kind: 'whole', version: check.end().version, cache: headers.get('X-Cache') ?? '' };
    } catch (error) {
      if (error instanceof Error && error.name !== 'WrongBodyError')
        return { kind: 'broken', error };
      throw error;
    }
  }

  /** The same where nothing stands in the way of a whole body. Throws where none came. */
  async whole(key: string, size: number, options: SoakAskOptions = {}): Promise<WholeBody> {
    const got = await this.ask(key, size, options);
    if (got.kind === 'whole') return got;
    const why = got.kind === 'refused' ? `status ${got.status}` : String(got.error);
    throw new Error(`${key}: no whole body: ${why}`);
  }

  /** Calls a command of the control socket. */
  async control(name: string, input?: unknown): Promise<unknown> {
    return await callControl(join(this.node.dataDir, 'control.sock'), name, input);
  }

  /** Resolves once the row of a key is written, as the journal says. Rejects when the node ends before. */
  async recorded(key: string): Promise<void> {
    for (;;) {
      const { since } = this.#journal;
      const page = await this.control('journal', { since }).catch((error: unknown) => {
        // What was seen is of another manifest.
        this.#journal = { since: '', put: [] };
        if (since === '') throw error;
      });
      if (page === undefined) continue;
      const { rows, cursor } = page as JournalPage;
      this.#journal.since = cursor;
      for (const { op, key: written } of rows) if (op === 'put') this.#journal.put.push(written);
      if (this.#journal.put.some((written) => written.endsWith(key))) return;
      if (rows.length === 0) await pause(POLL_MS);
    }
  }

  /** Resolves once a counter of the node has reached a value. */
  async counted(counter: string, value: number): Promise<void> {
    for (;;) {
      const counters = (await this.control('counters')) as Readonly<Record<string, number>>;
      if ((counters[counter] ?? 0) >= value) return;
      await pause(POLL_MS);
    }
  }

  /** Spool and temporary files that lie in the data folder. */
  async leftovers(): Promise<readonly string[]> {
    const { dataDir } = this.node;
    const folders = [join(dataDir, 'spool'), join(dataDir, 'blobs', 'tmp')];
    const lists = folders.map(async (folder) =>
      (await filesBelow(folder)).map((path) => join(folder, path)),
    );
    return (await Promise.all(lists)).flat();
  }

  /** Resolves once no leftovers lie about. Throws when some still do 60 s later. */
  async tidied(): Promise<void> {
    const end = performance.now() + TIDY_MS;
    for (;;) {
      const left = await this.leftovers();
      if (left.length === 0) return;
      if (performance.now() > end) throw new Error(`left after ${TIDY_MS} ms: ${left.join(', ')}`);
      await pause(POLL_MS);
    }
  }

  /** Audits the data folder of the node, which must not run. Throws with all that does not fit. */
  async audit(options: Partial<AuditOptions> = {}): Promise<Audit> {
    return await expectSound({ dataDir: this.node.dataDir, ...options });
  }

  /** Waits for the leftovers to go, stops the node and audits what it leaves. Throws with all that does not fit. */
  async finish(options: Partial<AuditOptions> = {}): Promise<Audit> {
    if (!this.node.isRunning) await this.node.restart();
    await this.tidied();
    const { code } = await this.node.stop();
    if (code !== 0) throw new Error(`the node ended with ${code}:\n${this.node.lastWords()}`);
    return await this.audit(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.node[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
  }
}

/** Resolves after so many milliseconds. */
export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** The configuration of the usual site. */
export interface UsualConfig extends Readonly<Record<string, unknown>> {
  readonly fetchers: Readonly<Record<string, unknown>>;
  readonly rules: readonly Readonly<Record<string, unknown>>[];
}

function usualConfig(originUrl: string): UsualConfig {
  return {
    log: { access: false },
    gc: { orphanGrace: '0s' },
    fills: { concurrent: CONCURRENT },
    storage: { local: { type: 'disk', keepFree: 0 } },
    fetchers: { site: { type: 'origin', url: originUrl, maxSockets: CONCURRENT } },
    stashers: { keep: { type: 'store', backend: 'local', concurrent: CONCURRENT } },
    rules: [{ name: 'site', path: '/*', protocol: 'http', fetch: ['site'], stash: 'keep' }],
  };
}
