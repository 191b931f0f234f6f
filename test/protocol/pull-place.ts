import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';
import type { Body } from '../../src/body.ts';
import { type Clock, SystemClock } from '../../src/clock.ts';
import type { Fetcher } from '../../src/fetchers/fetcher.ts';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { type HeaderLine, HeaderList } from '../../src/headers.ts';
import type { Entry } from '../../src/manifest/entry.ts';
import type { JournalRow, Manifest } from '../../src/manifest/manifest.ts';
import { Metrics } from '../../src/metrics.ts';
import { GoPolicies } from '../../src/protocol/go-policy.ts';
import { GO_NAMESPACE, GoProtocol } from '../../src/protocol/go-protocol.ts';
import type { Sumdb } from '../../src/protocol/go-upstream.ts';
import { HTTP_NAMESPACE, HttpProtocol } from '../../src/protocol/http-protocol.ts';
import { HTTP_SETTINGS, type HttpSettings } from '../../src/protocol/http-settings.ts';
import { KeptModules } from '../../src/protocol/kept-modules.ts';
import type { Protocol, ProtocolResponse } from '../../src/protocol/protocol.ts';
import { PullThrough } from '../../src/protocol/pull-through.ts';
import { Purger } from '../../src/protocol/purger.ts';
import type { RuleParts, RuleSettings } from '../../src/protocol/rule.ts';
import type { Validator, ValidatorOptions } from '../../src/protocol/validator.ts';
import { NoneStasher } from '../../src/stashers/none-stasher.ts';
import { SpoolFolder } from '../../src/stashers/spool-folder.ts';
import { StoreStasher } from '../../src/stashers/store-stasher.ts';
import { BodyCache } from '../../src/storage/body-cache.ts';
import type { Digest } from '../../src/storage/digest.ts';
import { MemoryBackend } from '../../src/storage/memory-backend.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { GatedBackend } from '../support/gated-backend.ts';
import { openIn } from '../support/manifest-fixtures.ts';
import type { Behaviour } from '../support/oracle-behaviour.ts';
import { OracleOrigin, type SeenRequest } from '../support/oracle-origin.ts';
import { RecordedLog } from '../support/recorded-log.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** What a place is made of; all may be left out. */
export interface PullOptions {
  readonly protocol?: 'http' | 'go' | undefined;
  readonly settings?: Partial<RuleSettings> | undefined;
  readonly http?: Partial<HttpSettings> | undefined;
  readonly sumdb?: readonly Sumdb[] | undefined;
  readonly policies?: GoPolicies | undefined;
  readonly validator?:
    | ((common: Pick<ValidatorOptions, 'clock' | 'log' | 'metrics'>) => Validator)
    | undefined;
  /** Absent: what is fetched is kept. */
  readonly stash?: 'store' | 'none' | undefined;
  /** Asked instead of the oracle origin. */
  readonly fetcher?: Fetcher | undefined;
  /** Bytes. Absent: 64 MiB. */
  readonly maxBodyBytes?: number | undefined;
}

/** How a request differs from a plain GET. */
export interface AskOptions {
  readonly method?: string | undefined;
  readonly headers?: readonly HeaderLine[] | undefined;
  readonly body?: Body | undefined;
  readonly onlyIfCached?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A whole answer. */
export interface PulledAnswer extends Omit<ProtocolResponse, 'content'> {
  readonly body: Buffer;
}

/** A protocol over a real fetcher, manifest and backend, in a time that the test moves. */
export interface PullPlace extends AsyncDisposable {
  readonly origin: OracleOrigin;
  readonly clock: FakeClock;
  readonly metrics: Metrics;
  readonly log: RecordedLog;
  readonly manifest: Manifest;
  readonly backend: GatedBackend;
  readonly cache: BodyCache;
  readonly folder: SpoolFolder;
  readonly pullThrough: PullThrough;
  readonly purger: Purger;
  readonly namespace: string;
  /** How the origin answers, on top of its own way. May be changed between requests. */
  behave: (request: SeenRequest, number: number) => Behaviour | undefined;
  ask(target: string, options?: AskOptions): Promise<ProtocolResponse>;
  get(target: string, options?: AskOptions): Promise<PulledAnswer>;
  /** Like `get`, once everything that the answer left behind is done. */
  getSettled(target: string, options?: AskOptions): Promise<PulledAnswer>;
  /** Resolves when no fetch runs and no row waits to be written. */
  settled(): Promise<void>;
  keyOf(target: string): string;
  entries(target: string): Promise<readonly Entry[]>;
  journal(): Promise<readonly JournalRow[]>;
  /** Number of bodies in the backend. */
  blobs(): Promise<number>;
  /** Removes the body of an entry behind everybody's back. */
  loseBody(target: string): Promise<void>;
}

const MIB = 1024 * 1024;
const HOST = 'www.example.com';

const SETTINGS: RuleSettings = {
  name: 'site',
  freshness: 'strict',
  mode: 'sync',
  network: 'online',
  private: false,
  preserveHost: false,
  honorClientReload: true,
  cookies: 'bypass',
  tags: 'forward',
  ranges: 'forward',
};

/** Opens a place on loopback with a folder of its own. */
export async function openPull(options: PullOptions = {}): Promise<PullPlace> {
  await using stack = new AsyncDisposableStack();
  const clock = new FakeClock();
  const system = new SystemClock();
  // Waits of the manifest are real ones; only what it calls now is the test's.
  const dated: Clock = {
    now: () => clock.now(),
    monotonic: () => system.monotonic(),
    sleep: async (...call) => await system.sleep(...call),
  };
  const metrics = new Metrics();
  const log = new RecordedLog();
  const folder = stack.use(await tempFolder());
  const manifest = stack.use(await openIn(folder.path, { clock: dated, metrics, log }));
  const common = { clock, log, metrics };
  const memory = new MemoryBackend({ name: 'local', ...common });
  const backend = stack.use(new GatedBackend(memory));
  const cache = new BodyCache(16 * MIB);
  const spool = new SpoolFolder(join(folder.path, 'spool'), 256 * MIB);
  const origin = stack.use(await OracleOrigin.start());
  const site = stack.use(
    new OriginFetcher({ name: 'site', url: new URL(origin.url), clock: system, metrics }),
  );
  const maxBodyBytes = options.maxBodyBytes ?? 64 * MIB;
  const pullThrough = new PullThrough({ manifest, cache, folder: spool, maxBodyBytes, ...common });
  const purger = new Purger(manifest, pullThrough, metrics);
  const stasher =
    options.stash === 'none'
      ? new NoneStasher('pass')
      : new StoreStasher({ name: 'keep', backend, manifest, cache, ...common });
  const parts: RuleParts = {
    held: (fetcher) => fetcher,
    settings: { ...SETTINGS, ...options.settings },
    base: `http://${HOST}`,
    fetcher: options.fetcher ?? site,
    chain: () => options.fetcher ?? site,
    stasher,
    pullThrough,
    validator: options.validator?.(common),
  };
  const isGo = options.protocol === 'go';
  const namespace = isGo ? GO_NAMESPACE : HTTP_NAMESPACE;
  const protocol: Protocol = isGo
    ? new GoProtocol(parts, {
        sumdb: options.sumdb ?? [],
        policies: options.policies ?? new GoPolicies([]),
        kept: new KeptModules(manifest, namespace),
        metrics,
      })
    : new HttpProtocol(parts, purger, log, { ...HTTP_SETTINGS, ...options.http });
  const rest = stack.move();

  const place: PullPlace = {
    ...{ origin, clock, metrics, log, manifest, backend, cache, pullThrough, purger, namespace },
    folder: spool,
    behave: () => undefined,
    async ask(target, { headers = [], method = 'GET', body, onlyIfCached, signal } = {}) {
      return await protocol.handle(
        {
          method,
          target,
          body,
          publicUrl: `http://${HOST}${target}`,
          host: HOST,
          headers: new HeaderList(headers),
          forwarding: new HeaderList([['Via', '1.1 caje-test']]),
          onlyIfCached: onlyIfCached ?? false,
        },
        { signal },
      );
    },
    async get(target, asked) {
      return await wholeOf(await place.ask(target, asked));
    },
    async getSettled(target, asked) {
      const answer = await place.get(target, asked);
      await place.settled();
      return answer;
    },
    async settled() {
      while (pullThrough.running > 0 || manifest.health().pending > 0) await tick();
    },
    keyOf: (target) => (isGo ? decodeURIComponent(target.slice(1)) : `http://${HOST}${target}`),
    async entries(target) {
      return await manifest.lookup(namespace, place.keyOf(target));
    },
    async journal() {
      return (await manifest.journal(namespace, '', 1000)).rows;
    },
    async blobs() {
      let count = 0;
      for await (const _ of backend.list()) count += 1;
      return count;
    },
    async loseBody(target) {
      for (const { digest } of await place.entries(target)) {
        cache.delete(digest as Digest);
        await backend.delete(digest as Digest);
      }
    },
    [Symbol.asyncDispose]: async () => await rest.disposeAsync(),
  };
  // The origin lives in the test's time too: a Date of another would give its answers an age.
  origin.rule = (request, number) => {
    const behaviour = place.behave(request, number);
    const date: HeaderLine = ['Date', clock.date()];
    return { ...behaviour, headers: [date, ...(behaviour?.headers ?? [])] };
  };
  return place;
}

/** Reads an answer to its end. Rejects when its body breaks off. */
export async function wholeOf(response: ProtocolResponse): Promise<PulledAnswer> {
  const { content, ...head } = response;
  if (content === undefined) return { ...head, body: Buffer.alloc(0) };
  return { ...head, body: content.bytes ?? (await buffer(content.open())) };
}

/** A fetcher from an origin of the test's own. */
export function fetcherOf(url: string): OriginFetcher {
  const common = { clock: new SystemClock(), metrics: new Metrics() };
  return new OriginFetcher({ name: 'site', url: new URL(url), ...common });
}

/** A gate that opens once, for origins and tests to wait at. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}

/** Values that the field has in the request that the origin saw last. */
export function lastSeen(origin: OracleOrigin, field: string): readonly string[] {
  return HeaderList.fromRaw(origin.seen.at(-1)?.rawHeaders ?? []).getAll(field);
}
