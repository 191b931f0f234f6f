import type { CallOptions, OpenOptions } from '../../src/body.ts';
import { ProxyError } from '../../src/errors.ts';
import type {
  Backend,
  DeleteOptions,
  Health,
  Incoming,
  Opened,
  Stat,
} from '../../src/storage/backend.ts';
import type { Digest } from '../../src/storage/digest.ts';

/** A backend whose writes can be held back or refused, as those of a slow or full place are. */
export class GatedBackend implements Backend {
  readonly name: string;
  /** Writes that were asked for. */
  asked = 0;
  /** True: writes are refused. */
  full = false;
  readonly #inner: Backend;
  #gate: PromiseWithResolvers<void> | undefined;

  constructor(inner: Backend) {
    this.name = inner.name;
    this.#inner = inner;
  }

  /** From now on writes wait. */
  hold(): void {
    this.#gate ??= Promise.withResolvers<void>();
  }

  /** Lets those go on that wait. */
  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  async put(incoming: Incoming, options: CallOptions = {}): Promise<Stat> {
    this.asked += 1;
    await this.#pass(options);
    if (this.full) throw new ProxyError('unavailable', 'gated-backend.put', 'the place is full');
    return await this.#inner.put(incoming, options);
  }

  async stat(digest: Digest, options?: CallOptions): Promise<Stat | undefined> {
    return await this.#inner.stat(digest, options);
  }

  async open(digest: Digest, options?: OpenOptions): Promise<Opened | undefined> {
    return await this.#inner.open(digest, options);
  }

  async delete(digest: Digest, options?: DeleteOptions): Promise<boolean> {
    return await this.#inner.delete(digest, options);
  }

  list(after?: Digest, options?: CallOptions): AsyncIterable<Stat> {
    return this.#inner.list(after, options);
  }

  async health(options?: CallOptions): Promise<Health> {
    return await this.#inner.health(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    await this.#inner[Symbol.asyncDispose]();
  }

  async #pass({ signal }: CallOptions): Promise<void> {
    const gate = this.#gate;
    if (gate === undefined) return;
    const left = Promise.withResolvers<never>();
    const leave = (): void =>
      left.reject(new ProxyError('timeout', 'gated-backend.put', 'the caller gave up'));
    signal?.addEventListener('abort', leave, { once: true });
    try {
      await Promise.race([gate.promise, left.promise]);
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }
}
