import { NotLiteFsError } from './lock-error.ts';

/** Where LiteFS' own HTTP API listens unless `http.addr` says otherwise. It asks for no password: keep it private. */
export const LITEFS_URL: string = 'http://127.0.0.1:20202';

/** What a node says of itself (`GET /info`). */
export interface LiteFsInfo {
  readonly isPrimary: boolean;
  readonly candidate: boolean;
  /** Absent: the primary is not known, or its configuration names none. */
  readonly primaryHostname?: string | undefined;
}

/** How the API is asked. */
export interface ApiOptions {
  /** Absent: `http://127.0.0.1:20202`. */
  readonly url?: string | undefined;
  /** Longest wait. Absent: 2,000 ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 2000;

/** Throws `NotLiteFsError` for an answer of another form, and what `fetch` throws where nobody answers. */
export async function info(options: ApiOptions = {}): Promise<LiteFsInfo> {
  const answer = await ask('/info', options);
  if (!isObject(answer) || typeof answer['isPrimary'] !== 'boolean')
    throw new NotLiteFsError(`${options.url ?? LITEFS_URL} is no LiteFS`);
  const named = isObject(answer['primary']) ? answer['primary']['hostname'] : undefined;
  return {
    isPrimary: answer['isPrimary'],
    candidate: answer['candidate'] === true,
    ...(typeof named === 'string' && named !== '' && { primaryHostname: named }),
  };
}

/** A database as a node has it. */
export interface LiteFsDatabase {
  /** Transaction that it has come to. */
  readonly txid: bigint;
  /** Whether somebody writes it now: on the primary also by HALT from another node. */
  readonly isLocked: boolean;
}

/** The locks of LiteFS that only a writer holds exclusively: of a rollback journal, of WAL. */
const WRITE_LOCKS = ['reserved', 'pending', 'write'] as const;

/** The databases of a node by name (`GET /debug/vars`). Throws as `info`. */
export async function databases(
  options: ApiOptions = {},
): Promise<ReadonlyMap<string, LiteFsDatabase>> {
  const answer = await ask('/debug/vars', options);
  const store = isObject(answer) ? answer['store'] : undefined;
  if (!isObject(store)) throw new NotLiteFsError(`${options.url ?? LITEFS_URL} is no LiteFS`);
  const known = isObject(store['dbs']) ? store['dbs'] : {};
  return new Map(
    Object.entries(known).flatMap(([name, state]) => {
      const txid = isObject(state) ? state['txid'] : undefined;
      if (!isObject(state) || typeof txid !== 'string' || !/^[0-9a-f]+$/i.test(txid)) return [];
      const locks = isObject(state['locks']) ? state['locks'] : {};
      const isLocked = WRITE_LOCKS.some((lock) => locks[lock] === 'exclusive');
      return [[name, { txid: BigInt(`0x${txid}`), isLocked }] as const];
    }),
  );
}

async function ask(path: string, options: ApiOptions): Promise<unknown> {
  const { url = LITEFS_URL, timeoutMs = TIMEOUT_MS, signal } = options;
  const late = AbortSignal.timeout(timeoutMs);
  const response = await fetch(new URL(path, url), {
    signal: signal === undefined ? late : AbortSignal.any([late, signal]),
  });
  const text = await response.text();
  if (!response.ok) throw new NotLiteFsError(`${url}${path} answers ${response.status}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new NotLiteFsError(`${url}${path} answers no JSON`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
