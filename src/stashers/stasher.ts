import type { CallOptions } from '../body.ts';
import type { EntryDraft, Jid } from '../manifest/entry.ts';
import type { Getter, Incoming, Stat } from '../storage/backend.ts';
import type { Findings } from './body-inspector.ts';

/** A body on its way together with what the manifest is to say of it. */
export interface Stashable {
  readonly draft: EntryDraft;
  readonly body: Incoming;
  /** Position of the namespace when the fetch began. */
  readonly baseJid: Jid;
  /** What was found in the body on its way; known when it is sealed. Never rejects. Absent: nobody looked. */
  readonly findings?: Promise<Findings | undefined> | undefined;
}

/** What was kept, once its row is handed to the manifest. */
export interface Stashed {
  readonly stat: Stat;
  /** Resolves when the row is durable; false: a purge or a full queue kept it out. Never rejects. */
  readonly recorded: Promise<boolean>;
}

/** Takes a body and keeps it, or not. After Athens' Stasher. */
export interface Stasher {
  readonly name: string;
  /** Where what it keeps is read. Absent: it keeps nothing. */
  readonly bodies: Getter | undefined;
  /** True: the last attempt was refused by the place it keeps in; what is asked now passes through. */
  readonly refusing: boolean;
  /** Absent: not kept, and why is in the log and counted. Throws only what `body.sealed` rejects with. */
  stash(stashable: Stashable, options?: CallOptions): Promise<Stashed | undefined>;
}

/** Adds one behaviour around a stasher. */
export type StasherWrapper = (inner: Stasher) => Stasher;

/** Wraps from the inside out: the last wrapper is met first. */
export function wrapStasher(stasher: Stasher, ...wrappers: readonly StasherWrapper[]): Stasher {
  return wrappers.reduce((inner, wrap) => wrap(inner), stasher);
}

/** The same stasher with another way to stash. */
export function withStash(inner: Stasher, stash: Stasher['stash']): Stasher {
  return {
    name: inner.name,
    bodies: inner.bodies,
    get refusing() {
      return inner.refusing;
    },
    stash,
  };
}
