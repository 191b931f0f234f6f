import { z } from 'zod';
import { PURGE_KINDS } from './manifest.ts';
import type {
  BatchAnswer,
  BatchRequest,
  ChangesAnswer,
  ChangesRequest,
  Columns,
  LeaseAnswer,
  NamespaceInfo,
  NodeState,
  PurgeAnswer,
  PurgeShipped,
  SnapshotAnswer,
  SnapshotRequest,
  StateRequest,
  Term,
} from './primary-protocol.ts';
import { MAX_WAIT_MS, PAGE_ROWS } from './primary-protocol.ts';
import type { ChangeRequest, ChangeResponse } from './writer-protocol.ts';

const jid = z.int().min(0);
const text = z.string().max(65_536);
const name = z.string().min(1).max(200);
const sqlValue = z.union([z.string(), z.number(), z.null()]);
const row = z.array(sqlValue);

/** Reads `Term` of the wire. */
export const termSchema: z.ZodType<Term> = z.object({ term: jid, node: text, url: text });

/** Reads `NodeState` of the wire. */
export const stateSchema: z.ZodType<NodeState> = z.object({
  name,
  role: z.enum(['primary', 'replica']),
  known: termSchema,
  trusted: z.boolean(),
});

const listens = z
  .string()
  .regex(/^https?:\d{1,5}$/)
  .optional();

/** Reads `StateRequest` of the wire. */
export const stateRequest: z.ZodType<StateRequest> = z.object({
  known: termSchema,
  node: name,
  listens,
});

const namespaceSchema: z.ZodType<NamespaceInfo> = z.object({
  name,
  nsid: z.int().min(1),
  kind: text,
  epoch: z.string().regex(/^[0-9a-f]+$/),
  firstJid: jid,
  nextJid: jid,
  lastPurgeJid: jid,
  purgeFloor: jid,
  lastSeenAt: z.int(),
  counters: z.record(z.string(), z.int()),
});

const columnsSchema: z.ZodType<Columns> = z.object({
  entries: z.array(name),
  journal: z.array(name),
  purges: z.array(name),
});

/** Reads `ChangesRequest` of the wire. */
export const changesRequest: z.ZodType<ChangesRequest> = z.object({
  known: termSchema,
  node: name,
  listens,
  cursors: z.record(name, text),
  waitMs: z.int().min(0).max(MAX_WAIT_MS),
});

/** Reads `ChangesAnswer` of the wire. */
export const changesAnswer: z.ZodType<ChangesAnswer> = z.object({
  known: termSchema,
  columns: columnsSchema,
  namespaces: z.array(namespaceSchema),
  pages: z.array(
    z.object({
      namespace: name,
      since: jid,
      to: jid,
      journal: z.array(row),
      entries: z.array(row),
      purges: z.array(row),
    }),
  ),
  gone: z.array(name),
});

/** Reads `SnapshotRequest` of the wire. */
export const snapshotRequest: z.ZodType<SnapshotRequest> = z.object({
  known: termSchema,
  node: name,
  namespace: name,
  at: z.object({ epoch: name, jid }).optional(),
  after: z.tuple([text, text]).optional(),
  purgedTo: jid,
});

/** Reads `SnapshotAnswer` of the wire. */
export const snapshotAnswer: z.ZodType<SnapshotAnswer> = z.object({
  known: termSchema,
  columns: columnsSchema,
  namespace: namespaceSchema,
  jid,
  entries: z.array(row),
  purges: z.array(row),
  more: z.boolean(),
});

const changeBase = { namespace: name, changeId: name, actor: text, at: z.int(), bytes: z.int() };

const change: z.ZodType<ChangeRequest> = z.discriminatedUnion('op', [
  z.object({
    ...{ op: z.literal('put'), baseJid: jid, ...changeBase },
    values: z.array(sqlValue).min(1).max(100),
  }),
  z.object({
    ...{ op: z.literal('delete'), ...changeBase },
    key: text,
    variant: text.optional(),
  }),
]);

/** Reads `BatchRequest` of the wire. */
export const batchRequest: z.ZodType<BatchRequest> = z.object({
  known: termSchema,
  node: name,
  columns: z.array(name),
  changes: z.array(change).min(1).max(PAGE_ROWS),
});

const changeResponse: z.ZodType<ChangeResponse> = z.discriminatedUnion('outcome', [
  z.object({ outcome: z.literal('committed'), jid, firstSeenAt: z.int() }),
  z.object({ outcome: z.literal('purged') }),
  z.object({ outcome: z.literal('dropped') }),
]);

/** Reads `BatchAnswer` of the wire. */
export const batchAnswer: z.ZodType<BatchAnswer> = z.object({
  known: termSchema,
  outcomes: z.array(changeResponse),
});

/** Reads `PurgeShipped` of the wire. */
export const purgeShipped: z.ZodType<PurgeShipped> = z.object({
  known: termSchema,
  node: name,
  changeId: name,
  purge: z.object({
    kind: z.enum(PURGE_KINDS),
    value: text,
    namespace: name.optional(),
    soft: z.boolean(),
    actor: text,
  }),
  namespaces: z.array(name).max(1000),
});

const numbers = z.record(z.string(), jid);

/** Reads `PurgeAnswer` of the wire. */
export const purgeAnswer: z.ZodType<PurgeAnswer> = z.object({
  known: termSchema,
  entries: z.int(),
  jids: numbers,
  last: numbers,
});

/** Reads `LeaseAnswer` of the wire. */
export const leaseAnswer: z.ZodType<LeaseAnswer> = z.object({ id: name, ttlMs: z.int().min(1) });
