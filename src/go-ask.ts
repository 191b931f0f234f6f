import { addAbortSignal } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import { kindOf, messageOf, ProxyError } from './errors.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Content, Protocol, ProtocolRequest } from './protocol/protocol.ts';

/** What came of asking a protocol for one file. */
export interface Asked {
  readonly outcome: 'fetched' | 'kept' | 'would fetch' | 'failed';
  /** Bytes; 0 where nothing came. */
  readonly size: number;
  /** Status of an answer that was no file; 403 for what the rule denies. Absent: it was one, or there was no answer. */
  readonly status?: number | undefined;
  /** The whole file, where it was wanted. */
  readonly text?: string | undefined;
  /** SHA-256 in hex. Absent: there is no file, or it is not known. */
  readonly digest?: string | undefined;
  /** Why it failed. Absent: it did not. */
  readonly problem?: string | undefined;
}

/** How a file is asked for. */
export interface AskOptions extends CallOptions {
  readonly manifest: Manifest;
  readonly namespace: string;
  readonly key: string;
  /** Whether a store has the body: a row may have outlived it. */
  readonly isStored: (digest: string) => Promise<boolean>;
  /** True: `text` is wanted, also of what is kept. Absent: false. */
  readonly wantsText?: boolean | undefined;
}

/** Larger go.mod files and lookups are refused by the go command, too. Bytes. */
const MAX_TEXT = 16 * 1024 * 1024;
/** As much as a person reads of a refusal. Bytes. */
const MAX_REASON = 1_024;
/** Longest time between a body's end and its row; only a far store with much to take needs it. Milliseconds. */
const RECORD_MS = 300_000;
/** A body that nobody wants to keep for so long is not being kept. Milliseconds. */
const UNWANTED_MS = 3_000;
const POLL_MS = 5;
const MAX_POLL_MS = 100;

/**
 * Asks a protocol as a client would, reads what comes to its end and waits until it is on record, so that killing this process
 * loses nothing that was said to be there. Throws `aborted` alone.
 */
export async function askFor(
  protocol: Protocol,
  request: ProtocolRequest,
  options: AskOptions,
): Promise<Asked> {
  try {
    return await ask(protocol, request, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    if (request.onlyIfCached && kindOf(error) === 'timeout')
      return { outcome: 'would fetch', size: 0 };
    const status = kindOf(error) === 'forbidden' ? { status: 403 } : {};
    return { ...failed(messageOf(error)), ...status };
  }
}

async function ask(
  protocol: Protocol,
  request: ProtocolRequest,
  options: AskOptions,
): Promise<Asked> {
  const { signal, wantsText = false } = options;
  const { manifest, namespace, key } = options;
  const [before] = request.onlyIfCached ? [] : await manifest.lookup(namespace, key);
  const response = await protocol.handle(request, { signal });
  const { content, status, report } = response;
  if (content === undefined) return { ...failed(`status ${status}`), status };
  if (status !== 200) {
    const { text } = await readContent(content, MAX_REASON, signal, true);
    const said = text.split('\n', 1)[0]?.trim();
    return { ...failed(said === undefined || said === '' ? `status ${status}` : said), status };
  }
  const { digest } = content;
  const kept = report.phase !== 'miss' && report.phase !== 'bypass';
  if (kept && !wantsText) {
    content.close();
    return { outcome: 'kept', size: content.size ?? 0, digest };
  }
  const { size, text } = await readContent(content, wantsText ? MAX_TEXT : 0, signal);
  const read = { size, digest, ...(wantsText && { text }) };
  if (kept) return { outcome: 'kept', ...read };
  const sealed = (await content.sealedDigest) ?? digest;
  const problem =
    report.stored === true ? await unrecorded(sealed, before?.digest, options) : NOT_KEPT;
  if (problem !== undefined) return { ...read, ...failed(problem) };
  return { outcome: 'fetched', ...read, digest: sealed };
}

const NOT_KEPT = 'it came but was not kept; the log of the node says why';

async function readContent(
  content: Content,
  textBytes: number,
  signal: AbortSignal | undefined,
  cut = false,
): Promise<{ readonly size: number; readonly text: string }> {
  const body = content.open({ signal });
  if (signal) addAbortSignal(signal, body);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    size += piece.length;
    if (textBytes === 0) continue;
    if (size > textBytes && !cut)
      throw new ProxyError('too-large', 'go-ask.read', `it has more than ${textBytes} bytes`);
    pieces.push(piece);
    if (size > textBytes) break;
  }
  return { size, text: Buffer.concat(pieces).subarray(0, textBytes).toString() };
}

// Absent: its row is durable. The protocol does not say when, so the manifest is asked.
async function unrecorded(
  digest: string | undefined,
  before: string | undefined,
  { manifest, namespace, key, isStored, signal }: AskOptions,
): Promise<string | undefined> {
  const begun = performance.now();
  let wantedAt = begun;
  for (let pause = POLL_MS; ; pause = Math.min(2 * pause, MAX_POLL_MS)) {
    const [entry] = await manifest.lookup(namespace, key);
    const isRecorded = entry !== undefined && entry.jid > 0 && entry.digest === digest;
    // A row that was there before says nothing of the body that just came.
    if (isRecorded && (before !== digest || (await isStored(entry.digest)))) return undefined;
    const now = performance.now();
    if (digest !== undefined && (await manifest.isReferenced(digest))) wantedAt = now;
    if (now - wantedAt > UNWANTED_MS || now - begun > RECORD_MS) return NOT_KEPT;
    await sleep(pause, undefined, { signal });
  }
}

function failed(problem: string): Asked {
  return { outcome: 'failed', size: 0, problem };
}
