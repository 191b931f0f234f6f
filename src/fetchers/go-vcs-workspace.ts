import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../clock.ts';
import { goproxyPath, type ModuleFile } from '../gomod/goproxy-path.ts';
import type { Metrics } from '../metrics.ts';
import { FetchLimit } from './fetch-limit.ts';
import { type CommandResult, runCommand } from './go-vcs-command.ts';
import { type HomeOptions, layHome, type VcsHome, type VcsSurroundings } from './go-vcs-home.ts';
import { SharedJobs } from './go-vcs-jobs.ts';

/** What every workspace of a fetcher is made with. */
export interface WorkspaceSettings {
  readonly around: VcsSurroundings;
  /** The go command: a name on PATH or a path. */
  readonly go: string;
  /** Limits that a run of the go command needs a slot of, in this order. */
  readonly slots: readonly FetchLimit[];
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** What an answer is made of. */
export type VcsResult =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  /** A file that stays while the workspace is held. */
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'absent'; readonly text: string };

/** A temporary folder in which the go command has a home and a module cache, for the modules of one repository. */
export class GoVcsWorkspace {
  /** What is asked of it now, by request. */
  readonly jobs: SharedJobs<VcsResult> = new SharedJobs<VcsResult>();
  readonly folder: string;
  readonly #settings: WorkspaceSettings;
  readonly #home: Omit<HomeOptions, 'folder'>;
  /** One run at a time: a second one on the same clone would only wait for the first one's lock. */
  readonly #turn: FetchLimit;
  readonly #running = new Set<Promise<unknown>>();
  #laid: Promise<VcsHome> | undefined;
  #cache = 0;

  constructor(folder: string, home: Omit<HomeOptions, 'folder'>, settings: WorkspaceSettings) {
    this.folder = folder;
    this.#home = home;
    this.#settings = settings;
    const { clock, metrics, around } = settings;
    this.#turn = new FetchLimit({ concurrent: 1, waitMs: around.timeoutMs, clock, metrics });
  }

  /** Does work that runs the go command, alone in here. Throws `unavailable` when its turn does not come. */
  async inTurn<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#turn.acquire({ signal });
    try {
      return await work();
    } finally {
      this.#turn.release();
    }
  }

  /** Runs the go command to its end. Throws as `runCommand`, and `unavailable` when no slot comes free or a secret is away. */
  async go(args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
    const run = this.#run(args, signal);
    this.#running.add(run);
    try {
      return await run;
    } finally {
      this.#running.delete(run);
    }
  }

  /** Resolves when no command runs in here. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  /** Where the go command keeps a file of a module. */
  cached(module: string, file: ModuleFile, version: string): string {
    return join(this.#cacheFolder(), 'cache', 'download', goproxyPath(module, file, version));
  }

  /** Texts that no answer and no log may show. */
  async secrets(): Promise<readonly string[]> {
    return (await this.#laid)?.secrets ?? [];
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
    const { around, go, slots, clock } = this.#settings;
    const taken: FetchLimit[] = [];
    try {
      for (const slot of slots) {
        await slot.acquire({ signal });
        taken.push(slot);
      }
      const { env } = await this.#lay();
      return await runCommand({
        program: go,
        args,
        cwd: join(this.folder, 'work'),
        env: { ...env, GOMODCACHE: this.#cacheFolder() },
        timeoutMs: around.timeoutMs,
        clock,
        signal,
      });
    } catch (error) {
      // A clone that was cut short may hold locks of its own; files that are being read stay where they are.
      this.#cache += 1;
      throw error;
    } finally {
      for (const slot of taken) slot.release();
    }
  }

  async #lay(): Promise<VcsHome> {
    const lay = async (): Promise<VcsHome> => {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      return await layHome(this.#settings.around, { ...this.#home, folder: this.folder });
    };
    this.#laid ??= lay();
    try {
      return await this.#laid;
    } catch (error) {
      this.#laid = undefined;
      throw error;
    }
  }

  #cacheFolder(): string {
    return join(this.folder, `mod-${this.#cache}`);
  }
}
