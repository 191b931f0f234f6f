import type { Config } from './config/config.ts';
import {
  type ConfigChanges,
  configChanges,
  reloadedConfig,
  reloadedTree,
} from './config/config-changes.ts';
import { messageOf, ProxyError } from './errors.ts';
import type { Logger, LogLevel } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { ReloadReport } from './reload-schemas.ts';
import type { BuiltRule } from './rule-set.ts';

/** What the outside gives to a node that can reload. */
export interface ReloadSource {
  /** What the configuration says with every default, as `LoadedConfig` has it. */
  readonly effective: Readonly<Record<string, unknown>>;
  /** Reads the configuration again. Throws `ConfigError`. */
  load(): Promise<{
    readonly config: Config;
    readonly effective: Readonly<Record<string, unknown>>;
  }>;
  /** Sets how much the log says. Absent: it was set on the command line, which stays. */
  readonly setLogLevel?: ((level: LogLevel) => void) | undefined;
}

/** What is made for a reload and not in force yet. */
export interface Prepared {
  readonly rules: readonly BuiltRule[];
  /** Brings it into force in one step. */
  commit(): void;
  /** Closes it instead. */
  abandon(): Promise<void>;
}

/** What a reloader works with. */
export interface ReloaderOptions {
  readonly config: Config;
  /** Absent: nothing can be loaded again. */
  readonly source: ReloadSource | undefined;
  /** Makes everything for a configuration, beside what is in force. Throws, and nothing stays open then. */
  prepare(config: Config, tree: Readonly<Record<string, unknown>>): Promise<Prepared>;
  /** True: the node is stopping. */
  draining(): boolean;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Loads the configuration again, one reload after the other: as a whole, or not at all. */
export class Reloader {
  readonly #options: ReloaderOptions;
  #config: Config;
  #tree: Readonly<Record<string, unknown>>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#tree = options.source?.effective ?? {};
  }

  /**
   * What changed, once it is in force. Throws `invalid` with every fault of the file, what a component throws while it is made, and
   * `unavailable` while the node stops; the old settings stay then. Either way there is a line in the log.
   */
  async reload(): Promise<ReloadReport> {
    const mine = this.#last.then(async () => await this.#reload());
    this.#last = mine.catch(() => {});
    return await mine;
  }

  async #reload(): Promise<ReloadReport> {
    const { log, metrics } = this.#options;
    try {
      const report = await this.#take();
      metrics.count('config_reloads_total', 'done');
      log.info({ ...report }, 'the configuration was loaded again');
      if (report.restart.length > 0)
        log.warn(
          { keys: report.restart },
          'these keys changed and keep their old values until the node is started again',
        );
      return report;
    } catch (error) {
      metrics.count('config_reloads_total', 'refused');
      log.error({ err: messageOf(error) }, 'the configuration was not loaded: the old one stays');
      throw error;
    }
  }

  async #take(): Promise<ReloadReport> {
    const { source, prepare, draining } = this.#options;
    if (source === undefined) throw refused('unsupported', 'this node cannot load it again');
    const loaded = await source.load().catch((cause: unknown) => {
      throw refused('invalid', messageOf(cause), cause);
    });
    const changes = changesOf(this.#tree, loaded.effective, source);
    const stays = source.setLogLevel ? {} : { log: this.#config.log };
    const config = { ...reloadedConfig(this.#config, loaded.config), ...stays };
    const tree = reloadedTree(this.#tree, loaded.effective);
    const prepared = await prepare(config, tree).catch((cause: unknown) => {
      throw withHint(cause, changes);
    });
    if (draining()) {
      await prepared.abandon();
      throw refused('unavailable', 'the node is stopping');
    }
    prepared.commit();
    source.setLogLevel?.(config.log.level);
    this.#config = config;
    this.#tree = source.setLogLevel ? tree : { ...tree, log: this.#tree['log'] };
    return {
      source: config.source,
      ...changes,
      rules: config.rules.length,
      off: prepared.rules.flatMap(({ config: { name }, off }) =>
        off === undefined ? [] : [{ rule: name, why: off }],
      ),
    };
  }
}

function changesOf(
  running: Readonly<Record<string, unknown>>,
  loaded: Readonly<Record<string, unknown>>,
  { setLogLevel }: ReloadSource,
): ConfigChanges {
  const { changed, restart } = configChanges(running, loaded);
  if (setLogLevel !== undefined) return { changed, restart };
  const stays = changed.filter((key) => key === 'log.level');
  return {
    changed: changed.filter((key) => key !== 'log.level'),
    restart: [...restart, ...stays].sort(),
  };
}

function refused(
  kind: 'invalid' | 'unavailable' | 'unsupported',
  message: string,
  cause?: unknown,
): ProxyError {
  return new ProxyError(kind, 'reload', message, { cause });
}

// What the rules need may be in the file, and yet not here before a restart.
function withHint(cause: unknown, { restart }: ConfigChanges): ProxyError {
  const hint = restart.length === 0 ? '' : `; only a restart changes ${restart.join(', ')}`;
  return refused('invalid', `${messageOf(cause)}${hint}`, cause);
}
