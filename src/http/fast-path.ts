import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Manifest } from '../manifest/manifest.ts';
import type { Metrics } from '../metrics.ts';
import type { ProtocolResponse, Replay } from '../protocol/protocol.ts';
import { ALTERING_FIELDS } from '../protocol/request-directives.ts';
import type { BodyCache } from '../storage/body-cache.ts';
import { isDigest } from '../storage/digest.ts';
import { dropKeepAliveFields } from './connection-fields.ts';
import { exchangeOf } from './exchange.ts';
import { edgeFields } from './send-response.ts';

/** Answers remembered; the rest take the way through Koa, which costs them some tens of microseconds. */
const MAX_HOT = 20_000;

/** A request with any of these may mean something else than its address says, so it goes through the rules. */
const DECIDING: readonly string[] = [
  'cache-control',
  'pragma',
  'authorization',
  'cookie',
  'range',
  'if-none-match',
  'if-modified-since',
  'if-match',
  'if-unmodified-since',
  'if-range',
  'via',
  'cdn-loop',
  'forwarded',
  'x-forwarded-proto',
  'x-forwarded-host',
  ...ALTERING_FIELDS,
  'x-request-id',
  'expect',
];

interface Hot {
  readonly response: ProtocolResponse;
  readonly replay: Replay;
  readonly rule: string;
  /** Second of the epoch that `fields` speak for. */
  second: number;
  fields: string[];
}

export interface FastPathOptions {
  readonly manifest: Pick<Manifest, 'onChange' | 'peek'>;
  readonly cache: BodyCache;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** True: each request is noted for the access log. */
  readonly access: boolean;
}

export interface FastPath {
  /** Answers a plain GET or HEAD from memory; false: it did nothing. */
  serve(req: IncomingMessage, res: ServerResponse): boolean;
  /** Remembers an answer that may be repeated for the same address. */
  note(req: IncomingMessage, response: ProtocolResponse, rule: string): void;
  /** Forgets every answer: other rules are in force. */
  clear(): void;
  /** Stops following the manifest. */
  close(): void;
}

/** Hits in memory, answered before Koa: the fields are made once a second, the body is the verified one of the cache. */
export function createFastPath(options: FastPathOptions): FastPath {
  const { manifest, cache, nodeId, clock, metrics, access } = options;
  const byKey = new Map<string, Set<string>>();
  const hot = new LRUCache<string, Hot>({
    max: MAX_HOT,
    dispose: ({ replay }, address) => {
      const id = `${replay.namespace}\n${replay.key}`;
      const addresses = byKey.get(id);
      addresses?.delete(address);
      if (addresses?.size === 0) byKey.delete(id);
    },
  });
  const unfollow = manifest.onChange((namespace, key) => {
    if (key === undefined) hot.clear();
    else for (const address of [...(byKey.get(`${namespace}\n${key}`) ?? [])]) hot.delete(address);
  });
  return {
    serve(req, res) {
      const address = addressOf(req);
      const found = hot.get(address);
      if (!found || !isPlain(req)) return false;
      const now = clock.now();
      const bytes = now < found.replay.until ? cache.get(found.replay.digest) : undefined;
      if (!bytes) {
        hot.delete(address);
        return false;
      }
      const second = Math.floor(now / 1000);
      if (second !== found.second) refreshFields(found, now, second, nodeId);
      metrics.count('requests_total', 'hit');
      if (access) {
        const exchange = exchangeOf(res);
        exchange.phase = 'hit';
        exchange.rule = found.rule;
        exchange.bytes = req.method === 'HEAD' ? 0 : bytes.length;
      }
      dropKeepAliveFields(res);
      res.writeHead(200, found.fields);
      res.end(req.method === 'HEAD' ? undefined : bytes);
      return true;
    },
    note(req, response, rule) {
      const { replay, status, content } = response;
      if (!replay || status !== 200 || !content?.bytes || !isDigest(replay.digest)) return;
      if (response.report.phase !== 'hit' || !isPlain(req)) return;
      // It was looked up before its body was opened: a purge may have come in between, and told us too early.
      const { namespace, key, digest } = replay;
      const current = manifest.peek(namespace, key);
      if (!current?.some((entry) => entry.digest === digest && clock.now() < entry.freshUntil))
        return;
      const address = addressOf(req);
      const { content: _, ...kept } = response;
      hot.set(address, { response: kept, replay, rule, second: 0, fields: [] });
      const id = `${replay.namespace}\n${replay.key}`;
      const addresses = byKey.get(id);
      if (addresses) addresses.add(address);
      else byKey.set(id, new Set([address]));
    },
    clear: () => hot.clear(),
    close() {
      unfollow();
      hot.clear();
    },
  };
}

// Raw bytes of both, so that what differs for the rules never looks the same here.
function addressOf(req: IncomingMessage): string {
  return `${req.headers.host ?? ''} ${req.url ?? ''}`;
}

function isPlain({ headers }: IncomingMessage): boolean {
  for (const name of DECIDING) if (headers[name] !== undefined) return false;
  return true;
}

function refreshFields(hot: Hot, now: number, second: number, nodeId: string): void {
  const { replay, response } = hot;
  const age = Math.max(0, Math.floor(replay.initialAge + (now - replay.receivedAt) / 1000));
  const ttl = Math.floor((replay.freshUntil - now) / 1000);
  const headers = response.headers.with('Age', String(age));
  hot.fields = edgeFields({ ...response, headers, report: { ...response.report, ttl } }, nodeId)
    .with('Content-Length', String(replay.size))
    .with('Accept-Ranges', 'bytes')
    .toRaw();
  hot.second = second;
}
