import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import type { Rule as RuleConfig } from './config/config.ts';
import { messageOf, ProxyError } from './errors.ts';
import { GO_PROTOCOL, type GoParts, requestFor } from './go-rules.ts';
import { HeaderList } from './headers.ts';
import type { Entry } from './manifest/entry.ts';
import { splitAddress } from './protocol/http-key.ts';
import type { Protocol, ProtocolRequest } from './protocol/protocol.ts';
import { type Digest, isDigest } from './storage/digest.ts';
import type { Repair } from './storage-schemas.ts';
import { workThrough } from './work-queue.ts';

/** What a repair works with. */
export type RepairParts = Pick<
  GoParts,
  'config' | 'manifest' | 'backends' | 'nodeId' | 'build' | 'metrics'
>;

/** What became of one body. */
export interface Repaired {
  readonly digest: Digest;
  readonly repair: Repair;
  /** Why it is still missing. Absent: it is not. */
  readonly problem?: string | undefined;
}

/** Bodies repaired at once. */
const CONCURRENCY = 4;
/** Entries asked for at a time. */
const PAGE = 500;
/** Entries of one body that are tried. */
const TRIES = 5;
/** Longest time between a body's end and its being kept; only a far store needs it. Milliseconds. */
const KEPT_MS = 15_000;
const POLL_MS = 20;
/** A value of a request field that is kept as a hash only. */
const HASHED = /^sha256:[0-9a-f]{64}$/;

/**
 * Fetches damaged bodies again, as a client's request for one of the entries that name them would: through the entry's rule, its
 * chain of upstreams and peers, its checks. What cannot be had stays missing, and the next request for it tries again.
 * Throws `unavailable` where the manifest cannot be read, `aborted`.
 */
export async function* repairBodies(
  parts: RepairParts,
  digests: ReadonlySet<Digest>,
  options: CallOptions = {},
): AsyncGenerator<Repaired> {
  if (digests.size === 0) return;
  const entries = await entriesOf(parts, digests, options);
  yield* workThrough(
    digests,
    CONCURRENCY,
    async (digest, { signal }) => {
      const repaired = await repairBody(parts, digest, entries.get(digest) ?? [], signal);
      signal.throwIfAborted();
      parts.metrics.count('repaired_total', repaired.repair);
      return repaired;
    },
    options,
  );
}

async function entriesOf(
  { manifest }: RepairParts,
  digests: ReadonlySet<Digest>,
  { signal }: CallOptions,
): Promise<ReadonlyMap<Digest, readonly Entry[]>> {
  const found = new Map<Digest, Entry[]>();
  let after: string | undefined;
  do {
    await nextTurn();
    signal?.throwIfAborted();
    const page = await manifest.list({ after, limit: PAGE });
    for (const entry of page.entries) {
      if (!isDigest(entry.digest) || !digests.has(entry.digest)) continue;
      const known = found.get(entry.digest) ?? [];
      if (known.length < TRIES) found.set(entry.digest, [...known, entry]);
    }
    after = page.next;
  } while (after !== undefined);
  return found;
}

async function repairBody(
  parts: RepairParts,
  digest: Digest,
  entries: readonly Entry[],
  signal: AbortSignal,
): Promise<Repaired> {
  let replaced = false;
  const problems = new Set<string>();
  for (const entry of entries) {
    try {
      const got = await fetchAgain(parts, entry, signal);
      if (got === 'repaired') return { digest, repair: 'repaired' };
      replaced = true;
    } catch (error) {
      signal.throwIfAborted();
      problems.add(messageOf(error));
    }
  }
  if (problems.size > 0) return { digest, repair: 'missing', problem: [...problems].join('; ') };
  return { digest, repair: replaced ? 'replaced' : 'unneeded' };
}

/**
 * Fetches the body of an entry as a client's request for it would. `replaced`: it is another body by now. Throws where it
 * cannot be had, or came and was not kept.
 */
export async function fetchAgain(
  parts: RepairParts,
  entry: Entry,
  signal: AbortSignal,
): Promise<'repaired' | 'replaced'> {
  const { protocol, request } = await requestOf(parts, entry);
  const { status, content, report } = await protocol.handle(request, { signal });
  if (content !== undefined)
    for await (const _ of content.open({ signal })) signal.throwIfAborted();
  if (status !== entry.status)
    throw new ProxyError('upstream', 'storage-repair.fetch', `status ${status}`);
  const end = performance.now() + KEPT_MS;
  for (;;) {
    const kept = await keptOf(parts, entry);
    if (kept !== undefined) return kept;
    if (report.stored === false || performance.now() > end)
      throw new ProxyError('unavailable', 'storage-repair.fetch', 'it came but was not kept');
    await sleep(POLL_MS, undefined, { signal });
  }
}

// Absent: what the entry names now is not there yet.
async function keptOf(
  { manifest, backends }: RepairParts,
  { namespace, key, variant, digest }: Entry,
): Promise<'repaired' | 'replaced' | undefined> {
  const entries = await manifest.lookup(namespace, key);
  const now = entries.find((entry) => entry.variant === variant)?.digest;
  // The answer may vary on something else by now.
  const named = now ?? entries[0]?.digest;
  if (named === undefined || !isDigest(named)) return undefined;
  for (const [, backend] of await backends())
    if (await backend.stat(named)) return named === digest ? 'repaired' : 'replaced';
  return undefined;
}

async function requestOf(
  parts: RepairParts,
  entry: Entry,
): Promise<{ readonly protocol: Protocol; readonly request: ProtocolRequest }> {
  const config = parts.config.rules.find(({ name }) => name === entry.rule);
  if (config === undefined)
    throw cannot(`rule ${entry.rule} that stored it is not in the configuration`);
  const request =
    config.protocol === GO_PROTOCOL
      ? requestFor(parts, config, entry.key, false)
      : httpRequest(parts, config, entry);
  const { rule, off } = await parts.build(config);
  if (rule === undefined) throw cannot(`rule ${config.name} is off: ${off ?? ''}`);
  return { protocol: rule.protocol, request };
}

function httpRequest(
  { nodeId }: RepairParts,
  { protocol, name, path, strip }: RuleConfig,
  { key, requestHeaders }: Entry,
): ProtocolRequest {
  const address = protocol === 'http' ? splitAddress(key) : undefined;
  if (address === undefined) throw cannot(`what rule ${name} stored names no address to ask`);
  if (requestHeaders.lines.some(([, value]) => HASHED.test(value)))
    throw cannot('it varies on a secret of its client');
  const prefix = strip ? path.replace(/\/\*$/, '') : '';
  const { origin, target } = address;
  return {
    method: 'GET',
    target: target.startsWith(`${prefix}/`) ? target.slice(prefix.length) : target,
    publicUrl: key,
    host: origin.slice(origin.indexOf('//') + 2),
    headers: requestHeaders,
    forwarding: new HeaderList([
      ['Via', `1.1 ${nodeId}`],
      ['CDN-Loop', nodeId],
    ]),
    onlyIfCached: false,
    toKeep: true,
  };
}

function cannot(why: string): ProxyError {
  return new ProxyError('unprocessable', 'storage-repair.request', why);
}
