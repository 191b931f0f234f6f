import type { ChangeListener, Purge, PurgeListener } from './manifest.ts';

/** Who is told of changes, and the namespaces that this process has to do with. */
export class ChangeListeners {
  readonly #listeners = new Set<ChangeListener>();
  readonly #purgeListeners = new Set<PurgeListener>();
  readonly #namespaces = new Set<string>();

  /** Gives the function that ends it. */
  add(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives the function that ends it. */
  addPurge(listener: PurgeListener): () => void {
    this.#purgeListeners.add(listener);
    return () => this.#purgeListeners.delete(listener);
  }

  /** Another process or node purged. */
  tellOthersPurge(purge: Purge): void {
    for (const listener of this.#purgeListeners) listener(purge);
  }

  /** A fill of this process may belong to the namespace, whether the database has it yet or not. */
  know(namespace: string): void {
    this.#namespaces.add(namespace);
  }

  namespaces(): string[] {
    return [...this.#namespaces];
  }

  /** `key` absent: anything in the namespace may have changed. */
  tell(namespace: string, key: string | undefined): void {
    for (const listener of this.#listeners) listener(namespace, key);
  }

  tellPurge({ kind, value, namespace }: Pick<Purge, 'kind' | 'value' | 'namespace'>): void {
    const key = kind === 'key' ? value : undefined;
    for (const name of namespace === undefined ? this.#namespaces : [namespace])
      this.tell(name, key);
  }
}
