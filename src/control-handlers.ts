import type { Clock } from './clock.ts';
import type { Config } from './config/config.ts';
import { createGoHandlers } from './go-handlers.ts';
import type { GoParts } from './go-rules.ts';
import { createGuestHandlers } from './guest-handlers.ts';
import { createHouseHandlers } from './house-handlers.ts';
import type { HouseParts } from './house-parts.ts';
import type { ControlHandler } from './http/control-socket.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { PrimaryService } from './manifest/primary-service.ts';
import type { Metrics } from './metrics.ts';
import { parseInput } from './operator-input.ts';
import { type EntryRow, journalInput, lsInput, purgeInput } from './operator-schemas.ts';
import { createPrimaryHandlers } from './primary-handlers.ts';
import type { Purger } from './protocol/purger.ts';
import type { RowNotes } from './row-notes.ts';
import type { Backend, Getter } from './storage/backend.ts';
import { isDigest } from './storage/digest.ts';
import { createStorageHandlers } from './storage-handlers.ts';

/** What the operator's commands work on, in a running node or without one. */
export interface OperatorParts {
  readonly manifest: Manifest;
  readonly purger: Pick<Purger, 'purge'>;
  readonly metrics: Metrics;
  /** What this node is among the others. */
  readonly peers: PrimaryService;
  /** Stores in use, by name. Asked for by the commands that look at bodies. */
  readonly backends: () => Promise<readonly (readonly [string, Backend])[]>;
  readonly config: Config;
  readonly clock: Clock;
  /** Where zips are hashed. */
  readonly hashThread: GoParts['hashThread'];
  /** As other nodes know this one. */
  readonly nodeId: string;
  /** A rule in working order. Asked for by the commands that fetch or keep. */
  readonly build: GoParts['build'];
  readonly spool: HouseParts['spool'];
  /** Any configured store. Asked for by the commands that move whole stores. */
  readonly storage: HouseParts['storage'];
  readonly rowNotes: Pick<RowNotes, 'flush'>;
}

/** Longest that a purge waits to be noted beside the bodies. */
const NOTED_MS = 2000;
/** Entries asked for at a time while a whole list is walked. */
const PAGE = 500;

/** The commands of the control socket by name: `ls`, `journal`, `purge`, `counters`, those of Go modules, those that move house, and those that keep the storages in order. */
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
      const purged = await parts.purger.purge({ ...purge, actor: 'operator' });
      // So that a manifest made anew does not bring back what was said to be gone.
      await parts.rowNotes.flush(NOTED_MS);
      return purged;
    },
    counters: () => parts.metrics.snapshot(),
    ...createPrimaryHandlers(parts),
    ...createGuestHandlers(parts),
    ...createGoHandlers(parts),
    ...createHouseHandlers(parts),
    ...createStorageHandlers(parts),
  };
}

async function* listEntries(parts: OperatorParts, input: unknown): AsyncGenerator<EntryRow> {
  const { limit, ...options } = parseInput(lsInput, input);
  const backends = await parts.backends();
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
        state: await stateOf(backends, entry, now),
      };
    }
    left -= page.entries.length;
    after = page.next;
    if (after === undefined) return;
  }
}

async function stateOf(
  backends: readonly (readonly [string, Getter])[],
  entry: { readonly digest: string; readonly rule: string; readonly freshUntil: number },
  now: number,
): Promise<EntryRow['state']> {
  if (!isDigest(entry.digest)) return 'missing';
  for (const [, backend] of backends) {
    const stat = await backend.stat(entry.digest).catch(() => undefined);
    if (stat) return now < entry.freshUntil ? 'present' : 'stale';
  }
  return 'missing';
}
