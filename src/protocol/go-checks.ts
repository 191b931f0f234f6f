import { kindOf, messageOf, ProxyError } from '../errors.ts';
import { inspectGoMod } from '../gomod/dirhash.ts';
import type { HashThread } from '../gomod/hash-thread.ts';
import { inspectInfo } from '../gomod/info-answer.ts';
import type { VerifierKey } from '../gomod/signed-note.ts';
import { inspectLookup, inspectTile } from '../gomod/sumdb-answer.ts';
import type { SumdbClient } from '../gomod/sumdb-client.ts';
import { compareSums } from '../gomod/sumdb-record.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { BodyInspector, Findings } from '../stashers/body-inspector.ts';
import type { RouteParams } from './route-table.ts';

/** Whether hashes are compared with a checksum database, in the words of the configuration. */
export const SUM_CHECKS = ['off', 'verify', 'require'] as const;

/**
 * Whether the hash of a zip or go.mod is compared with a checksum database before its last byte leaves: `off` leaves that to the
 * clients; `verify` refuses what differs; `require` refuses also what the database does not know or cannot be asked about.
 */
export type SumCheck = (typeof SUM_CHECKS)[number];

export interface GoChecksOptions {
  /** Where zips are hashed. */
  readonly thread: HashThread;
  readonly sums: SumCheck;
  /** Asked for sums. Absent: there is no database, so nothing is compared. */
  readonly database?: SumdbClient | undefined;
  /** Keys of the databases that are passed through, by name. A name without one is checked for its form alone. */
  readonly keys: ReadonlyMap<string, VerifierKey>;
  /** True: no checksum database learns of this version of the module. */
  hidesSums(module: string, version: string): boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
}

type Confirmation = (findings: Findings) => Promise<void>;

const OP = 'go-checks.confirm';

/** What is looked at in the files of a Go rule on their way in. Bytes are never changed, and nothing is refused that a client would take. */
export class GoChecks {
  readonly #options: GoChecksOptions;

  constructor(options: GoChecksOptions) {
    this.#options = options;
  }

  /** Its `h1:`, and why the go command would refuse it. */
  zip({ module = '', version = '' }: RouteParams): BodyInspector {
    return this.#options.thread.inspectModuleZip({ module, version });
  }

  /** Whether it is JSON and of its version. */
  info({ version = '' }: RouteParams): BodyInspector {
    return inspectInfo(version);
  }

  /** Its `h1:`; the content may be anything but a page. */
  mod(): BodyInspector {
    return inspectGoMod();
  }

  /** Whether the answer to a lookup is signed by its database. */
  lookup({ name = '' }: RouteParams): BodyInspector {
    return inspectLookup(this.#options.keys.get(name));
  }

  /** Whether a tile has the length that its path says. */
  tile({ rest = '' }: RouteParams): BodyInspector {
    return inspectTile(rest);
  }

  /** What compares the hash of a zip or go.mod with the checksum database. Absent: nothing is compared. */
  confirmation(
    file: 'zip' | 'mod',
    { module = '', version = '' }: RouteParams,
  ): Confirmation | undefined {
    const { sums, database, hidesSums } = this.#options;
    if (sums === 'off' || database === undefined || hidesSums(module, version)) return undefined;
    return async ({ h1, problem }) => {
      if (h1 !== undefined) await this.#confirm(database, module, version, { [file]: h1 });
      // What has a problem is refused by the clients themselves; what was not understood they may take.
      else if (problem === undefined) {
        const why = `the hash of ${module}@${version} could not be computed, so no database vouches for it`;
        if (sums === 'require') throw new ProxyError('integrity', OP, why);
        this.#options.log.warn({ module, version }, why);
      }
    };
  }

  async #confirm(
    database: SumdbClient,
    module: string,
    version: string,
    sums: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { log, metrics } = this.#options;
    const record = await this.#lookup(database, module, version);
    const mismatch = record && compareSums(record, sums);
    if (mismatch === undefined) return;
    metrics.count('sumdb_mismatch_total');
    log.error({ module, version }, mismatch);
    throw new ProxyError('integrity', OP, mismatch);
  }

  // Absent: the database does not know it or cannot be asked, and that is no reason to refuse it.
  async #lookup(database: SumdbClient, module: string, version: string) {
    const { sums, log } = this.#options;
    try {
      const record = await database.lookup(module, version);
      if (record || sums === 'verify') return record;
      throw new ProxyError(
        'integrity',
        OP,
        `checksum database ${database.name} does not know ${module}@${version}`,
      );
    } catch (error) {
      if (sums === 'require') throw error;
      log.warn(
        { err: messageOf(error), kind: kindOf(error), module, version },
        'a hash could not be compared with the checksum database',
      );
      return undefined;
    }
  }
}
