import type { Jid } from './entry.ts';
import type { PurgeKind } from './manifest.ts';
import type { ManifestReader, NamespaceRow } from './manifest-reader.ts';

/** Further behind than this it is cheaper to forget everything than to read what changed. */
const MAX_BEHIND = 1000;

/** What the follower tells of. */
export interface FollowerListener {
  /** Whether a change was made by this process, which knows its effect already. */
  isOwn(changeId: string): boolean;
  changed(namespace: string, key: string): void;
  purged(namespace: string, kind: PurgeKind, value: string, jid: Jid): void;
  /** Numbers were given in the namespace, by whomever. */
  moved(namespace: string): void;
  /** Too much changed to say what, or the namespace began again. */
  reset(namespace: string): void;
}

/** Follows the journal of a database that other processes may write too. */
export class JournalFollower {
  readonly #listener: FollowerListener;
  readonly #positions = new Map<
    string,
    { readonly epoch: string; readonly jid: Jid; readonly seen: Jid }
  >();
  #version: number | undefined;

  constructor(listener: FollowerListener) {
    this.#listener = listener;
  }

  /** Highest number known of a namespace; 0: none yet. */
  position(namespace: string): Jid {
    return this.#positions.get(namespace)?.seen ?? 0;
  }

  /** Notes numbers `first` to `last`, written by this process: they need not be read again where nothing lies before them. */
  advance(namespace: string, first: Jid, last: Jid): void {
    const { epoch, jid, seen } = this.#positions.get(namespace) ?? { epoch: '', jid: 0, seen: 0 };
    this.#positions.set(namespace, {
      epoch,
      jid: first === jid + 1 ? last : jid,
      seen: Math.max(seen, last),
    });
    this.#listener.moved(namespace);
  }

  /** Starts from what the database holds now, without telling of it. */
  start(reader: ManifestReader): void {
    this.#version = reader.version();
    this.#positions.clear();
    for (const { name, epoch, nextJid } of reader.readNamespaces()) {
      this.#positions.set(name, { epoch, jid: nextJid - 1, seen: nextJid - 1 });
    }
  }

  /** Tells of everything since the last time; cheap where nothing was committed. */
  follow(reader: ManifestReader): void {
    const version = reader.version();
    if (version === this.#version) return;
    for (const namespace of reader.readNamespaces()) this.#followNamespace(reader, namespace);
    this.#version = version;
  }

  /** The database was replaced: numbers begin again. */
  restart(): readonly string[] {
    const names = [...this.#positions.keys()];
    this.#positions.clear();
    this.#version = undefined;
    return names;
  }

  #followNamespace(reader: ManifestReader, namespace: NamespaceRow): void {
    const { name, epoch, nextJid } = namespace;
    const before = this.#positions.get(name) ?? { epoch, jid: 0, seen: 0 };
    const last = nextJid - 1;
    const isSame = before.epoch === epoch || before.epoch === '';
    if (isSame && last <= before.jid) return;
    const since = isSame ? before.jid : 0;
    for (const { jid, kind, value } of reader.purgesSince(namespace, since))
      this.#listener.purged(name, kind, value, jid);
    if (!isSame || last - since > MAX_BEHIND) this.#listener.reset(name);
    else {
      for (const row of reader.journal(namespace, since, MAX_BEHIND)) {
        if (row.op !== 'purge' && !this.#listener.isOwn(row.changeId))
          this.#listener.changed(name, row.key);
      }
    }
    this.#positions.set(name, {
      epoch,
      jid: last,
      seen: isSame ? Math.max(before.seen, last) : last,
    });
    this.#listener.moved(name);
  }
}
