import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallOptions } from './body.ts';
import type { Clock } from './clock.ts';
import type {
  ManifestRows,
  NotedNamespace,
  RowNote,
  RowPosition,
} from './manifest/manifest-rows.ts';
import { decodeLines, encodeLine, type SegmentHead } from './row-notes-lines.ts';
import { groupSegments, type SegmentGroup, segmentName } from './row-notes-names.ts';
import type { Notes } from './storage/notes.ts';

/** A place for notes and which rows belong there. */
export interface NotesLogOptions {
  readonly notes: Notes;
  /** Name of the node whose manifest it is. */
  readonly owner: string;
  /** Rules whose bodies lie beside these notes, in order of name. */
  readonly rules: readonly string[];
  /** Whether rows of a rule belong here; also asked for rules that the configuration does not have. */
  readonly covers: (rule: string) => boolean;
  readonly clock: Clock;
  /** Bytes of a segment of changes: until it is full it is written anew, larger each time. Absent: 128 KiB. */
  readonly tailBytes?: number | undefined;
  /** Bytes of a part of a picture. Absent: 4 MiB. */
  readonly partBytes?: number | undefined;
  /** Bytes of changes from which a new picture is worth it, however small it is. Absent: 8 MiB. */
  readonly rewriteBytes?: number | undefined;
}

const TAIL_BYTES = 128 * 1024;
const PART_BYTES = 4 * 1024 * 1024;
const REWRITE_BYTES = 8 * 1024 * 1024;
/** Changes may grow to this many times the bytes of the picture that they follow. */
const REWRITE_FACTOR = 2;
/** Rows read before others get their turn on the event loop: about a millisecond. */
const BATCH = 100;
/** Notes of a manifest that is gone are kept this long: somebody may want its rows back. */
const OTHERS_MS = 7 * 86_400_000;

interface State {
  readonly group: Pick<SegmentGroup, 'manifest' | 'began'>;
  /** Number of the segment that is written next, or anew. */
  number: number;
  cursor: Record<string, number>;
  /** Lines of that segment, and their bytes. */
  tail: string[];
  tailBytes: number;
  /** Bytes of the newest picture, and of changes since. */
  wholeBytes: number;
  changedBytes: number;
}

/** Notes of one manifest's rows in one place: a whole picture, then changes. One `follow` at a time. */
export class NotesLog {
  readonly #options: NotesLogOptions;
  #state: State | undefined;

  constructor(options: NotesLogOptions) {
    this.#options = options;
  }

  /**
   * Whether notes of other manifests than the one that is there lie here, after those that were not written for a week are removed.
   * `manifest` absent: there is none yet. Throws `unavailable`.
   */
  async hasOthers(manifest: string | undefined, options: CallOptions): Promise<boolean> {
    const { clock } = this.#options;
    let isLeft = false;
    for (const group of await this.#groups(options)) {
      if (group.manifest === manifest) continue;
      const head = await this.#head(group, options);
      if (clock.now() - (head?.at ?? group.began) < OTHERS_MS) isLeft = true;
      else await this.#remove(group, options);
    }
    return isLeft;
  }

  /**
   * Notes everything that the manifest has and the notes do not. Throws `unavailable` and what reading the manifest throws; the next
   * call goes on from what lies there. `forgetOthers`: notes of other manifests go then.
   */
  async follow(
    rows: ManifestRows,
    { forgetOthers = false, signal }: CallOptions & { readonly forgetOthers?: boolean },
  ): Promise<void> {
    const [first] = rows.namespaces();
    if (first === undefined) return;
    try {
      let state = this.#state?.group.manifest === first.epoch ? this.#state : undefined;
      state ??= await this.#open(first.epoch, { signal });
      if (!(await this.#noteChanges(rows, state, { signal })) || isOvergrown(state, this.#options))
        state = await this.#notePicture(rows, state, { signal });
      this.#state = state;
      if (!forgetOthers) return;
      for (const group of await this.#groups({ signal }))
        if (group.manifest !== first.epoch) await this.#remove(group, { signal });
    } catch (error) {
      this.#state = undefined;
      throw error;
    }
  }

  async #open(manifest: string, options: CallOptions): Promise<State> {
    const groups = await this.#groups(options);
    const group = groups.find((one) => one.manifest === manifest);
    const began = Math.max(this.#options.clock.now(), (groups.at(-1)?.began ?? 0) + 1);
    const state: State = {
      group: group ?? { manifest, began },
      number: (group?.segments.at(-1)?.number ?? 0) + 1,
      ...{ cursor: {}, tail: [], tailBytes: 0, wholeBytes: 0, changedBytes: 0 },
    };
    if (group !== undefined) await this.#tidy(group, options);
    if (group?.whole === undefined) return { ...state, wholeBytes: -1 };
    const head = await this.#head(group, options);
    const isSame = head?.manifest === manifest && head.rules.join() === this.#options.rules.join();
    if (!isSame) return { ...state, wholeBytes: -1 };
    for (const { number, size, isPart } of group.segments) {
      if (number > group.whole.last) state.changedBytes += isPart ? 0 : size;
      else if (number >= group.whole.first) state.wholeBytes += size;
    }
    return { ...state, cursor: { ...head.cursor } };
  }

  /** False: they cannot be told from here, or there is nothing to add them to. */
  async #noteChanges(rows: ManifestRows, state: State, options: CallOptions): Promise<boolean> {
    if (state.wholeBytes === -1) return false;
    let isNew = false;
    for (const namespace of rows.namespaces()) {
      const { name, lastJid } = namespace;
      for (let at = state.cursor[name] ?? 0; at !== lastJid; ) {
        const page = rows.changes(namespace, at, BATCH);
        if (page === undefined) return false;
        at = page.next ?? Math.max(at, lastJid);
        this.#add(state, page.notes);
        state.cursor[name] = at;
        isNew = true;
        if (state.tailBytes >= (this.#options.tailBytes ?? TAIL_BYTES)) {
          await this.#write(rows, state, 'c', options);
          isNew = false;
        }
        await nextTurn();
        options.signal?.throwIfAborted();
        if (page.next === undefined) break;
      }
    }
    if (isNew) await this.#write(rows, state, 'c', options);
    return true;
  }

  /** Everything anew, from which changes are told; what it replaces goes once it is whole. */
  async #notePicture(rows: ManifestRows, before: State, options: CallOptions): Promise<State> {
    const namespaces = rows.namespaces();
    // What comes in meanwhile is told after it.
    const cursor = Object.fromEntries(namespaces.map(({ name, lastJid }) => [name, lastJid]));
    const first = before.tail.length === 0 ? before.number : before.number + 1;
    const state: State = {
      ...{ group: before.group, number: first, cursor, tail: [], tailBytes: 0 },
      ...{ wholeBytes: 0, changedBytes: 0 },
    };
    for await (const notes of pages(rows, namespaces)) {
      options.signal?.throwIfAborted();
      this.#add(state, notes);
      if (state.tailBytes >= (this.#options.partBytes ?? PART_BYTES))
        await this.#write(rows, state, 'p', options);
    }
    await this.#write(rows, state, first, options);
    state.wholeBytes = state.changedBytes;
    state.changedBytes = 0;
    for (const group of await this.#groups(options))
      if (group.manifest === state.group.manifest) await this.#remove(group, options, first);
    return state;
  }

  #add(state: State, notes: readonly RowNote[]): void {
    for (const note of notes) {
      if (note.op === 'put' && !this.#options.covers(String(note.values[RULE_AT]))) continue;
      if (note.op === 'delete' && note.rule !== undefined && !this.#options.covers(note.rule))
        continue;
      const line = encodeLine(note);
      state.tail.push(line);
      state.tailBytes += line.length;
    }
  }

  async #write(
    rows: ManifestRows,
    state: State,
    kind: 'c' | 'p' | number,
    options: CallOptions,
  ): Promise<void> {
    const { notes, owner } = this.#options;
    const bytes = Buffer.from(encodeLine(this.#headOf(rows, state)) + state.tail.join(''));
    const name = segmentName(state.group, state.number, kind);
    await notes.write(owner, name, bytes, options);
    // What is not full is written anew, larger, the next time.
    if (kind === 'c' && state.tailBytes < (this.#options.tailBytes ?? TAIL_BYTES)) return;
    state.number += 1;
    state.tail = [];
    state.tailBytes = 0;
    state.changedBytes += bytes.length;
  }

  #headOf(rows: ManifestRows, { group, cursor }: State): SegmentHead {
    const floors = rows.namespaces().map(({ name, purgeFloor }) => [name, purgeFloor]);
    return {
      ...{ op: 'head', version: 1, manifest: group.manifest, at: this.#options.clock.now() },
      ...{ rules: this.#options.rules, cursor, floors: Object.fromEntries(floors) },
    };
  }

  // What the newest picture replaced, and parts of later ones that were never ended: a store that fails now and then would fill up.
  async #tidy({ segments, whole }: SegmentGroup, options: CallOptions): Promise<void> {
    const { notes, owner } = this.#options;
    const { first = 0, last = 0 } = whole ?? {};
    for (const { name, number, isPart } of segments)
      if (number < first || (isPart && number > last)) await notes.remove(owner, name, options);
  }

  // In the order in which they were written, so that what is left after a crash has no row without the delete that followed it.
  async #remove(
    { segments }: SegmentGroup,
    options: CallOptions,
    before: number = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const { notes, owner } = this.#options;
    for (const { name, number } of segments)
      if (number < before) await notes.remove(owner, name, options);
  }

  /** What the newest segment says that tells how far the notes go. Absent: it is damaged. */
  async #head({ segments }: SegmentGroup, options: CallOptions): Promise<SegmentHead | undefined> {
    const last = segments.findLast(({ isPart }) => !isPart);
    if (last === undefined) return undefined;
    const bytes = await this.#options.notes.read(this.#options.owner, last.name, options);
    const line = bytes && decodeLines(bytes).next().value;
    return line?.op === 'head' ? line : undefined;
  }

  async #groups(options: CallOptions): Promise<readonly SegmentGroup[]> {
    return groupSegments(await this.#options.notes.list(this.#options.owner, options));
  }
}

/** Where a row's rule is among `PUT_COLUMNS`. */
const RULE_AT = 2;

function isOvergrown({ wholeBytes, changedBytes }: State, options: NotesLogOptions): boolean {
  const least = options.rewriteBytes ?? REWRITE_BYTES;
  return changedBytes > Math.max(least, REWRITE_FACTOR * wholeBytes);
}

async function* pages(
  rows: ManifestRows,
  namespaces: readonly NotedNamespace[],
): AsyncGenerator<readonly RowNote[]> {
  for (const namespace of namespaces) {
    yield rows.purges(namespace);
    let after: RowPosition | undefined;
    do {
      const page = rows.rows(namespace, after, BATCH);
      yield page.notes;
      after = page.next;
      await nextTurn();
    } while (after !== undefined);
  }
}
