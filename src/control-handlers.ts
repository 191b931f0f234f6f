import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { messageOf, ProxyError } from './errors.ts';
import type { ControlHandler } from './http/control-socket.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { Metrics } from './metrics.ts';
import {
  type EntryRow,
  journalInput,
  lsInput,
  purgeInput,
  type VerifyRow,
  verifyInput,
} from './operator-schemas.ts';
import type { Purger } from './protocol/purger.ts';
import type { Backend, Getter } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';

/** What the operator's commands work on, in a running node or without one. */
export interface OperatorParts {
  readonly manifest: Manifest;
  readonly purger: Pick<Purger, 'purge'>;
  readonly metrics: Metrics;
  readonly backends: readonly (readonly [string, Backend])[];
  readonly config: Config;
  readonly clock: Clock;
}

/** Entries asked for at a time while a whole list is walked. */
const PAGE = 500;

/** The commands of the control socket by name: `ls`, `journal`, `purge`, `verify`, `counters`. */
export function createControlHandlers(
  parts: OperatorParts,
): Readonly<Record<string, ControlHandler>> {
  return {
    ls: (input) => listEntries(parts, input),
    journal: async (input) => {
      const { namespace, since, limit } = parseInput(journalInput, input);
      return await parts.manifest.journal(namespace, since, limit);
    },
    purge: async (input) => {
      const purge = parseInput(purgeInput, input);
      return await parts.purger.purge({ ...purge, actor: 'operator' });
    },
    verify: (input) => verifyBodies(parts, input),
    counters: () => parts.metrics.snapshot(),
  };
}

async function* listEntries(parts: OperatorParts, input: unknown): AsyncGenerator<EntryRow> {
  const { limit, ...options } = parseInput(lsInput, input);
  let left = limit ?? Number.POSITIVE_INFINITY;
  let after: string | undefined;
  while (left > 0) {
    const page = await parts.manifest.list({ ...options, after, limit: Math.min(PAGE, left) });
    for (const entry of page.entries) {
      const now = parts.clock.now();
      yield {
        namespace: entry.namespace,
        key: entry.key,
        variant: entry.variant,
        rule: entry.rule,
        status: entry.status,
        size: entry.size,
        digest: entry.digest,
        ageSeconds: Math.max(
          0,
          Math.floor(entry.policy.initialAge + (now - entry.policy.receivedAt) / 1000),
        ),
        freshSeconds: Math.floor((entry.freshUntil - now) / 1000),
        state: await stateOf(parts, entry, now),
      };
    }
    left -= page.entries.length;
    after = page.next;
    if (after === undefined) return;
  }
}

async function stateOf(
  parts: OperatorParts,
  entry: { readonly digest: string; readonly rule: string; readonly freshUntil: number },
  now: number,
): Promise<EntryRow['state']> {
  if (!isDigest(entry.digest)) return 'missing';
  for (const getter of gettersOf(parts)) {
    const stat = await getter.stat(entry.digest).catch(() => undefined);
    if (stat) return now < entry.freshUntil ? 'present' : 'stale';
  }
  return 'missing';
}

function gettersOf({ backends }: OperatorParts): readonly Getter[] {
  return backends.map(([, backend]) => backend);
}

async function* verifyBodies(parts: OperatorParts, input: unknown): AsyncGenerator<VerifyRow> {
  const { storage } = parseInput(verifyInput, input);
  const chosen = parts.backends.filter(([name]) => storage === undefined || name === storage);
  if (chosen.length === 0)
    throw new ProxyError(
      'invalid',
      'control-handlers.verify',
      `there is no storage named ${storage ?? ''} in use`,
    );
  for (const [name, backend] of chosen) {
    for await (const { digest, size } of backend.list()) {
      const problem = await readWhole(backend, digest, size);
      yield { storage: name, digest, size, ok: problem === undefined, problem };
    }
  }
}

// Reading is checking: a backend never hands out bytes that do not match.
async function readWhole(
  backend: Backend,
  digest: string,
  size: number,
): Promise<string | undefined> {
  try {
    if (!isDigest(digest)) return 'its name is no digest';
    const opened = await backend.open(digest);
    if (!opened) return 'it is gone or does not match its digest';
    let bytes = 0;
    for await (const piece of opened.body) bytes += (piece as Buffer).length;
    return bytes === size ? undefined : `it has ${bytes} bytes instead of ${size}`;
  } catch (error) {
    return messageOf(error);
  }
}

function parseInput<T>(
  schema: {
    safeParse(input: unknown): { success: boolean; data?: T; error?: { message: string } };
  },
  input: unknown,
): T {
  const parsed = schema.safeParse(input ?? {});
  if (parsed.success) return parsed.data as T;
  throw new ProxyError(
    'invalid',
    'control-handlers.input',
    parsed.error?.message ?? 'malformed input',
  );
}
