import type { Config } from './config/config.ts';

/** The configuration in force, which a reload exchanges in one step. */
export class LiveConfig {
  /** Says, key by key, what is in force at the moment of reading. For work that goes on across reloads. */
  readonly view: Config;
  #current: Config;

  constructor(config: Config) {
    this.#current = config;
    const current = (): Config => this.#current;
    const view = {};
    for (const key of Object.keys(config) as (keyof Config)[])
      Object.defineProperty(view, key, { enumerable: true, get: () => current()[key] });
    this.view = view as Config;
  }

  /** As it is now, and stays for who holds it. */
  get current(): Config {
    return this.#current;
  }

  /** From now on this is in force. */
  set(config: Config): void {
    this.#current = config;
  }
}
