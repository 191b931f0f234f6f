import { type Answer, type AskOptions, HttpClient } from '../support/http-client.ts';
import { NodeProcess } from '../support/node-process.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { oracleBytes } from '../support/oracle-bytes.ts';
import { OracleOrigin, type OracleRule } from '../support/oracle-origin.ts';
import { eventually } from './eventually.ts';
import { entryRows } from './node-files.ts';

type Fetchers = Readonly<Record<string, unknown>>;

/** What stands in a node's configuration beside what every site has. */
export interface SiteOptions {
  /** Options of the backend; absent: the built-in one on disk. */
  readonly storage?: Readonly<Record<string, unknown>> | undefined;
  /** Further backends by name, such as those that `storage` is made of. Absent: none. */
  readonly others?: Readonly<Record<string, unknown>> | undefined;
  /** Rules before the one for 127.0.0.1. */
  readonly rules?: readonly Readonly<Record<string, unknown>>[] | undefined;
  /** Fetchers beside `site`, or another one of that name. */
  readonly fetchers?: Fetchers | ((originUrl: string) => Fetchers) | undefined;
  /** Any further key. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly wrapper?: readonly string[] | undefined;
}

/** One origin, one node before it and one client. */
export class Site implements AsyncDisposable {
  readonly origin: OracleOrigin;
  readonly node: NodeProcess;
  readonly client: HttpClient = new HttpClient();
  readonly #rules: Map<string, OracleRule>;

  private constructor(origin: OracleOrigin, node: NodeProcess, rules: Map<string, OracleRule>) {
    this.origin = origin;
    this.node = node;
    this.#rules = rules;
  }

  /** Starts origin and node; a rule named `site` serves 127.0.0.1 from the origin. */
  static async start(options: SiteOptions = {}): Promise<Site> {
    const rules = new Map<string, OracleRule>();
    const origin = await OracleOrigin.start({
      rule: async (request, number) => await rules.get(pathOf(request.key))?.(request, number),
    });
    try {
      const { env, wrapper } = options;
      const node = await NodeProcess.start({ config: configOf(origin, options), env, wrapper });
      return new Site(origin, node, rules);
    } catch (error) {
      await origin[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From now on the origin answers this path, whatever the query, so. */
  serve(path: string, rule: OracleRule | Behaviour): void {
    this.#rules.set(path, typeof rule === 'function' ? rule : () => rule);
  }

  /** A whole answer of the node. Rejects when the body breaks off. */
  async get(path: string, options?: AskOptions): Promise<Answer> {
    return await this.client.get(this.node.url + path, options);
  }

  /** The same, and waits until it is on record: until then a request may still share the fetch. `keyEnd`: absent: the path. */
  async keep(path: string, options?: AskOptions, keyEnd: string = path): Promise<Answer> {
    const answer = await this.get(path, options);
    await eventually(`the row of ${path}`, () => entryRows(this.node, keyEnd)[0]);
    return answer;
  }

  /** An answer of the node under a public host. */
  async getAs(host: string, path: string, options: AskOptions = {}): Promise<Answer> {
    return await this.get(path, { ...options, headers: { ...options.headers, host } });
  }

  /** The bytes that the origin sends for this path now. */
  bytes(path: string, size: number): Buffer {
    const check = { seed: this.origin.seed, key: path, version: this.origin.version(path) };
    return oracleBytes(check, size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
    await this.node[Symbol.asyncDispose]();
    await this.origin[Symbol.asyncDispose]();
  }
}

/** X-Cache of an answer. */
export function xCache({ headers }: Pick<Answer, 'headers'>): string | undefined {
  return headers.get('X-Cache');
}

/** Field values of a request or echo that carries them raw. */
export function rawValues(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name.toLowerCase(),
  );
}

function configOf(origin: OracleOrigin, options: SiteOptions): Readonly<Record<string, unknown>> {
  const { storage, others: backends, rules = [], fetchers = {}, config = {} } = options;
  const others = typeof fetchers === 'function' ? fetchers(origin.url) : fetchers;
  const common = { protocol: 'http', fetch: 'site' };
  return {
    storage: { local: storage ?? { type: 'disk', path: 'blobs', keepFree: 0 }, ...backends },
    fetchers: { site: { type: 'origin', url: origin.url }, ...others },
    rules: [
      ...rules.map((rule) => ({ ...common, ...rule })),
      { ...common, name: 'site', host: '127.0.0.1' },
    ],
    ...config,
  };
}

function pathOf(key: string): string {
  return key.split('?', 1)[0] ?? '';
}
