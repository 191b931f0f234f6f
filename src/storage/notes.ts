import type { CallOptions } from '../body.ts';
import { type Backend, isComposed } from './backend.ts';

/** A note as it lies there. */
export interface Note {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Small named texts beside the bodies of a backend, each of one owner. They are no bodies: not listed, not counted, never evicted.
 * Names are `[a-z0-9-]`, 100 at most; owners are names of nodes. All throw `unavailable` when the store cannot be asked.
 */
export interface Notes {
  /** Nodes that have notes here, in order. What others put beside them is left out. */
  owners(options?: CallOptions): Promise<readonly string[]>;
  /** Notes of a node, in order of name. What others put beside them is left out. */
  list(owner: string, options?: CallOptions): Promise<readonly Note[]>;
  /** Absent: there is none. */
  read(owner: string, name: string, options?: CallOptions): Promise<Buffer | undefined>;
  /** All or nothing; durable when it resolves. One of that name is replaced. */
  write(owner: string, name: string, bytes: Buffer, options?: CallOptions): Promise<void>;
  /** Also when there is none. */
  remove(owner: string, name: string, options?: CallOptions): Promise<void>;
}

/** What a backend offers that keeps notes; one that is made of others leaves it to them. */
export interface NotesKeeper {
  readonly notes: Notes;
}

/** Stores that keep notes in a backend: itself, or its tiers, the nearest first. */
export function keepersIn(backend: object): (Backend & NotesKeeper)[] {
  if (isComposed(backend)) return backend.tiers.flatMap(keepersIn);
  return keepsNotes(backend) ? [backend as Backend & NotesKeeper] : [];
}

function keepsNotes(backend: object): backend is NotesKeeper {
  return 'notes' in backend && typeof backend.notes === 'object' && backend.notes !== null;
}

/** Where notes lie: below the folder of a disk, below the prefix of a bucket. */
export const NOTES_PLACE = 'rows';

/** Whether a text may be the name of a note. */
export function isNoteName(text: string): boolean {
  return /^[a-z0-9][a-z0-9-]{0,99}$/.test(text);
}

/** Whether a text may be the owner of notes. */
export function isNoteOwner(text: string): boolean {
  return /^caje-[0-9a-f]{16}$/.test(text);
}
