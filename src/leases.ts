/** Counts who still uses something, so that it is closed after its last user. */
export class Leases {
  #count = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  /** Leases that were taken and not given back. */
  get count(): number {
    return this.#count;
  }

  /** One more user, until what is given is disposed; again has no effect. */
  take(): Disposable {
    this.#count += 1;
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (!isTaken) return;
        isTaken = false;
        this.#count -= 1;
        if (this.#count > 0) return;
        this.#idle?.resolve();
        this.#idle = undefined;
      },
    };
  }

  /** Resolves when nobody uses it, at once where nobody does. */
  async idle(): Promise<void> {
    if (this.#count === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }
}
