import { isIP } from 'node:net';
import { Pool } from 'undici';
import type { z } from 'zod';
import type { CallOptions } from '../body.ts';
import { codeOf, type ErrorKind, messageOf, ProxyError } from '../errors.ts';
import { PeerToken, type TokenSource } from './peer-token.ts';
import type {
  BatchAnswer,
  BatchRequest,
  ChangesAnswer,
  ChangesRequest,
  LeaseAnswer,
  NodeState,
  PurgeAnswer,
  PurgeShipped,
  SnapshotAnswer,
  SnapshotRequest,
  StateRequest,
} from './primary-protocol.ts';
import { MANIFEST_API, MAX_ANSWER_BYTES } from './primary-protocol.ts';
import {
  batchAnswer,
  changesAnswer,
  leaseAnswer,
  purgeAnswer,
  snapshotAnswer,
  stateSchema,
} from './primary-schemas.ts';

/** Before the names of the control socket's calls. */
const CONTROL_API = '/control/manifest-';
const CONNECT_MS = 3000;
const STATE_MS = 3000;
/** A batch waits for the primary's lock, ten seconds at most, then for its disk. */
const BATCH_MS = 15_000;
const PAGE_MS = 30_000;
const CONNECTIONS = 4;

/** Kinds that an error answer's status stands for; others are `upstream`. */
const KINDS: Readonly<Record<number, ErrorKind>> = {
  400: 'invalid',
  401: 'unauthorized',
  404: 'unsupported',
  409: 'conflict',
  410: 'gone',
  413: 'too-large',
  421: 'misdirected',
  503: 'unavailable',
  504: 'timeout',
};

/** What a node shows in TLS, and whom it believes there. PEM. */
export interface PeerIdentity {
  readonly cert: string;
  readonly key: string;
  /** Absent: who is in the system's own list. */
  readonly ca?: string | readonly string[] | undefined;
}

/** What a node shows to others. */
export interface PeerCredentials extends TokenSource {
  /** Absent: nothing in TLS. */
  readonly tls?: PeerIdentity | undefined;
  /** The name by which nodes are looked up, which the certificate of one that is asked by its address is for. Absent: there is none. */
  readonly dns?: { readonly host: string } | undefined;
  /** The node that is configured by an address of its own. Absent: there is none. */
  readonly primary?: string | undefined;
}

/** Limits of one call. */
export interface ShipOptions extends CallOptions {
  /** Longest wait for the answer. Absent: 15 s. */
  readonly limitMs?: number | undefined;
}

/**
 * Another node's manifest over HTTP. Whatever keeps it from answering is thrown: `unavailable` and `timeout` leave open
 * whether what was asked was done.
 */
export class PrimaryClient implements AsyncDisposable {
  /** As configured, without a slash at the end. */
  readonly url: string;
  readonly #pool: Pool;
  readonly #base: string;
  readonly #token: PeerToken;

  /** `socketPath`: where a node of this machine is asked by its control socket; `url` is then a name for messages. Absent: `url` is asked. */
  constructor(url: string, credentials: PeerCredentials, socketPath?: string) {
    const { tls, dns, primary } = credentials;
    const { origin, pathname, hostname } = new URL(url);
    const isOfName = url !== primary && isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;
    this.url = url.replace(/\/+$/, '');
    const api = socketPath === undefined ? `${MANIFEST_API}/` : CONTROL_API;
    this.#base = pathname.replace(/\/+$/, '') + api;
    this.#token = new PeerToken(credentials);
    this.#pool = new Pool(origin, {
      ...(socketPath !== undefined && { socketPath }),
      connections: CONNECTIONS,
      connect: {
        timeout: CONNECT_MS,
        ...(isOfName && dns && { servername: dns.host }),
        ...(tls && { cert: tls.cert, key: tls.key }),
        ...(tls?.ca !== undefined && { ca: typeof tls.ca === 'string' ? tls.ca : [...tls.ca] }),
      },
      // Each call has a limit of its own.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** The node that serves the same folder, by its control socket: it knows `batch` and `purge`, and writes wherever it itself would. */
  static beside(socketPath: string): PrimaryClient {
    return new PrimaryClient('http://the-node-beside', { token: '' }, socketPath);
  }

  async state(request: StateRequest, options?: CallOptions): Promise<NodeState> {
    return await this.#ask('state', request, stateSchema, STATE_MS, options);
  }

  /** Waits as long as the request says for something new. */
  async changes(request: ChangesRequest, options?: CallOptions): Promise<ChangesAnswer> {
    return await this.#ask('changes', request, changesAnswer, request.waitMs + PAGE_MS, options);
  }

  async snapshot(request: SnapshotRequest, options?: CallOptions): Promise<SnapshotAnswer> {
    return await this.#ask('snapshot', request, snapshotAnswer, PAGE_MS, options);
  }

  async batch(request: BatchRequest, options: ShipOptions = {}): Promise<BatchAnswer> {
    const { limitMs = BATCH_MS } = options;
    return await this.#ask('batch', request, batchAnswer, limitMs, options);
  }

  async purge(request: PurgeShipped, options: ShipOptions = {}): Promise<PurgeAnswer> {
    const { limitMs = BATCH_MS } = options;
    return await this.#ask('purge', request, purgeAnswer, limitMs, options);
  }

  /** A lease on the node's lock. Throws `timeout` when it was not had within `waitMs`. */
  async lease(node: string, waitMs: number, options?: CallOptions): Promise<LeaseAnswer> {
    return await this.#ask('lease', { node, waitMs }, leaseAnswer, waitMs + STATE_MS, options);
  }

  /** Throws `gone` when the lease is over. */
  async renew(id: string): Promise<LeaseAnswer> {
    return await this.#ask('lease/renew', { id }, leaseAnswer, STATE_MS);
  }

  /** Gives a lease back; one that is over is no error. */
  async release(id: string): Promise<void> {
    await this.#ask('lease/release', { id }, undefined, STATE_MS);
  }

  /** Says that there is something new. */
  async hint(node: string, options?: CallOptions): Promise<void> {
    await this.#ask('hint', { node }, undefined, STATE_MS, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  async #ask<Answer>(
    what: string,
    request: object,
    schema: z.ZodType<Answer>,
    limitMs: number,
    options?: CallOptions,
  ): Promise<Answer>;
  async #ask(
    what: string,
    request: object,
    schema: undefined,
    limitMs: number,
    options?: CallOptions,
  ): Promise<void>;
  async #ask<Answer>(
    what: string,
    request: object,
    schema: z.ZodType<Answer> | undefined,
    limitMs: number,
    { signal }: CallOptions = {},
  ): Promise<Answer | undefined> {
    const late = AbortSignal.timeout(limitMs);
    let status: number;
    let text: string;
    const token = await this.#token.current();
    try {
      const answer = await this.#pool.request({
        method: 'POST',
        path: `${this.#base}${what}`,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
        signal: signal ? AbortSignal.any([late, signal]) : late,
      });
      status = answer.statusCode;
      text = await readText(answer.body);
    } catch (cause) {
      throw this.#lost(what, cause, late.aborted, signal?.aborted === true);
    }
    if (status !== 200) throw this.#refused(what, status, text);
    if (schema === undefined) return undefined;
    const parsed = schema.safeParse(parse(text));
    if (parsed.success) return parsed.data;
    throw new ProxyError(
      'upstream',
      `primary-client.${what}`,
      `${this.url} answers ${what} in a form that this version does not know`,
      { cause: parsed.error },
    );
  }

  #lost(what: string, cause: unknown, isLate: boolean, isAborted: boolean): ProxyError {
    if (cause instanceof ProxyError) return cause;
    const kind = isAborted ? 'aborted' : isLate ? 'timeout' : 'unavailable';
    const why = isLate ? 'no answer in time' : (codeOf(cause) ?? messageOf(cause));
    return new ProxyError(kind, `primary-client.${what}`, `${this.url} is not to be had: ${why}`, {
      cause,
    });
  }

  #refused(what: string, status: number, text: string): ProxyError {
    const problem = parse(text) as { detail?: unknown } | null | undefined;
    const detail =
      typeof problem?.detail === 'string' ? problem.detail.slice(0, 300) : 'no reason given';
    const kind = KINDS[status] ?? 'upstream';
    const message = `${this.url} refuses ${what} (${status}): ${detail}`;
    return new ProxyError(kind, `primary-client.${what}`, message);
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES)
      throw new ProxyError('upstream', 'primary-client.read', 'the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
