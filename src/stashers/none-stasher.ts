import type { Stashable, Stashed, Stasher } from './stasher.ts';

/** Keeps nothing: a rule that only passes through. */
export class NoneStasher implements Stasher {
  readonly name: string;
  readonly bodies = undefined;
  readonly refusing = false;

  constructor(name: string) {
    this.name = name;
  }

  async stash(_stashable: Stashable): Promise<Stashed | undefined> {
    return undefined;
  }
}
