import { setTimeout as delay } from 'node:timers/promises';
import { type ApiOptions, info, LITEFS_URL } from './litefs-api.ts';
import { isLiteFs } from './mount.ts';
import { primary } from './node-files.ts';

/** Who is the primary, as one node sees it. */
export interface PrimaryState {
  /** Whether it is this node. */
  readonly isPrimary: boolean;
  /** Its host name. Absent: not known. */
  readonly hostname?: string | undefined;
}

/** How the changes are listened to. */
export interface PrimaryChangesOptions {
  /** Where this node's LiteFS listens. Absent: `http://127.0.0.1:20202`. */
  readonly url?: string | undefined;
  /** Ends the listening. */
  readonly signal?: AbortSignal | undefined;
  /** Pause before the API is asked again after it could not be, and between looks at `.primary`. Absent: 1,000 ms. */
  readonly retryMs?: number | undefined;
}

const RETRY_MS = 1000;
/** A line of `/events` is short; anything longer comes from something else. */
const MAX_LINE = 64 * 1024;

/**
 * Whether this node may write without HALT: it is the primary, or no LiteFS has the database. A file `.primary` says no at
 * once; without it LiteFS' API is asked, as a replica without a connection has none either. Throws as `info`.
 */
export async function isPrimary(databasePath: string, options: ApiOptions = {}): Promise<boolean> {
  if (!isLiteFs(databasePath)) return true;
  if ((await primary(databasePath)) !== undefined) return false;
  return (await info(options)).isPrimary;
}

/**
 * Who is the primary, now and at every change, from `/events` of LiteFS' API; where that cannot be had, from
 * `.primary`, looked at now and then. Goes on through restarts of LiteFS until the signal is given, and then ends
 * without an error.
 */
export async function* primaryChanges(
  databasePath: string,
  options: PrimaryChangesOptions = {},
): AsyncGenerator<PrimaryState, void, undefined> {
  const { signal, retryMs = RETRY_MS } = options;
  let last: string | undefined;
  for (;;) {
    for await (const state of seen(databasePath, options)) {
      const text = JSON.stringify(state);
      if (text !== last) yield state;
      last = text;
    }
    if (signal?.aborted) return;
    await delay(retryMs, undefined, signal && { signal }).catch(() => {});
  }
}

async function* seen(
  databasePath: string,
  options: PrimaryChangesOptions,
): AsyncGenerator<PrimaryState, void, undefined> {
  if (options.signal?.aborted) return;
  try {
    yield* events(options);
  } catch {
    if (options.signal?.aborted) return;
    const hostname = await primary(databasePath).catch(() => undefined);
    // No file and no API: nobody knows, so nothing is said.
    if (hostname !== undefined) yield { isPrimary: false, hostname };
  }
}

async function* events({
  url = LITEFS_URL,
  signal,
}: PrimaryChangesOptions): AsyncGenerator<PrimaryState, void, undefined> {
  const response = await fetch(new URL('/events', url), signal ? { signal } : {});
  if (!response.ok || response.body === null) throw new Error(`${url}/events: ${response.status}`);
  let rest = '';
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) throw new Error(`${url}/events: a line without an end`);
    for (const line of lines) {
      const state = toState(line);
      if (state !== undefined) yield state;
    }
  }
}

function toState(line: string): PrimaryState | undefined {
  const { type, data } = JSON.parse(line) as {
    readonly type?: string;
    readonly data?: { readonly isPrimary?: boolean; readonly hostname?: string };
  };
  if (type !== 'init' && type !== 'primaryChange') return undefined;
  const { isPrimary: own = false, hostname = '' } = data ?? {};
  return { isPrimary: own, ...(hostname !== '' && { hostname }) };
}
