/** What is being worked on, by name, in this process. */
export class UnderWay {
  readonly #counts = new Map<string, number>();

  /** Whether any work of that name is not over. */
  has(name: string): boolean {
    return this.#counts.has(name);
  }

  /** Counts the work as under way until it ends, however it does. */
  async during<Result>(name: string, work: Promise<Result>): Promise<Result> {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    try {
      return await work;
    } finally {
      const left = (this.#counts.get(name) ?? 1) - 1;
      if (left > 0) this.#counts.set(name, left);
      else this.#counts.delete(name);
    }
  }
}
