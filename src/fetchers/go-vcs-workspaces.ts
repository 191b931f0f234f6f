import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VcsCredential } from './go-vcs-credentials.ts';
import { repositoryOf, type VcsRepository } from './go-vcs-imports.ts';
import { GoVcsWorkspace, type WorkspaceSettings } from './go-vcs-workspace.ts';

/** What the workspaces of one fetcher are made with. */
export interface WorkspacesOptions extends WorkspaceSettings {
  /** Absolute path; made on first use, removed at the end. */
  readonly folder: string;
  /** Milliseconds that one is kept after its last use. */
  readonly lingerMs: number;
  readonly repositories: readonly VcsRepository[];
  /** The first that matches a module is the only one that its jobs see. */
  readonly credentials: readonly VcsCredential[];
}

/** Use of a workspace: it stays until this is released. */
export interface WorkspaceLease {
  readonly workspace: GoVcsWorkspace;
  /** Notes what the go command said of the place of a module in its repository. */
  learn(module: string, subdir: string): void;
  release(): void;
}

interface Held {
  readonly workspace: GoVcsWorkspace;
  readonly module: string;
  readonly repository: VcsRepository | undefined;
  readonly credential: VcsCredential | undefined;
  readonly madeAt: number;
  /** Module path of the repository's root. Absent: not known yet. */
  root: string | undefined;
  users: number;
  /** Ends the time that it is kept. Absent: it is used. */
  readonly lingering: { end: AbortController | undefined };
}

/** A workspace that is never idle takes no new requests after this, so that its clones do not grow for ever. Milliseconds. */
const MAX_AGE_MS = 300_000;
/** Idle ones kept at a time: each holds a clone. */
const MAX_IDLE = 16;

/** Temporary folders of a fetcher: one for each repository that is asked for now or was a moment ago. */
export class GoVcsWorkspaces implements AsyncDisposable {
  readonly #options: WorkspacesOptions;
  readonly #held = new Set<Held>();
  readonly #idle = new Set<Held>();
  readonly #removals = new Set<Promise<void>>();
  #next = 0;

  constructor(options: WorkspacesOptions) {
    this.#options = options;
  }

  /** A workspace for a module, a running one of the same repository where there is one. */
  lease(module: string): WorkspaceLease {
    const held = this.#find(module) ?? this.#make(module);
    held.users += 1;
    held.lingering.end?.abort();
    held.lingering.end = undefined;
    this.#idle.delete(held);
    let released = false;
    return {
      workspace: held.workspace,
      learn: (asked, subdir) => {
        held.root ??= rootOf(asked, subdir);
      },
      release: () => {
        if (released) return;
        released = true;
        held.users -= 1;
        if (held.users === 0) this.#linger(held);
      },
    };
  }

  /** Removes every folder once the commands in it have ended; whoever runs them ends them first. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const held of this.#held) {
      held.lingering.end?.abort();
      this.#remove(held);
    }
    await Promise.all(this.#removals);
    const { folder } = this.#options;
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    // Other fetchers of this process may still have theirs beside it.
    await rmdir(dirname(folder)).catch(() => undefined);
  }

  #find(module: string): Held | undefined {
    const { repositories, clock } = this.#options;
    const repository = repositoryOf(repositories, module);
    const credential = this.#credentialOf(module);
    return [...this.#held].find(
      (held) =>
        held.repository === repository &&
        held.credential === credential &&
        (repository !== undefined || held.module === module || isBelow(module, held.root)) &&
        clock.monotonic() - held.madeAt < MAX_AGE_MS,
    );
  }

  #make(module: string): Held {
    const { folder, clock, repositories } = this.#options;
    const repository = repositoryOf(repositories, module);
    const credential = this.#credentialOf(module);
    const home = { host: module.split('/', 1)[0] ?? '', repository, credential };
    const workspace = new GoVcsWorkspace(join(folder, String(this.#next++)), home, this.#options);
    const madeAt = clock.monotonic();
    const lingering = { end: undefined };
    const held: Held = {
      workspace,
      module,
      repository,
      credential,
      madeAt,
      root: undefined,
      users: 0,
      lingering,
    };
    this.#held.add(held);
    return held;
  }

  #credentialOf(module: string): VcsCredential | undefined {
    return this.#options.credentials.find(({ matches }) => matches(module));
  }

  #linger(held: Held): void {
    const { lingerMs, clock } = this.#options;
    const end = new AbortController();
    held.lingering.end = end;
    this.#idle.add(held);
    const [longest] = this.#idle;
    if (this.#idle.size > MAX_IDLE && longest !== undefined) {
      longest.lingering.end?.abort();
      this.#remove(longest);
    }
    clock.sleep(lingerMs, { signal: end.signal }).then(
      () => {
        // Taken again in the very moment that its time was over.
        if (held.lingering.end === end) this.#remove(held);
      },
      () => {},
    );
  }

  #remove(held: Held): void {
    if (!this.#held.delete(held)) return;
    this.#idle.delete(held);
    const { workspace } = held;
    const removal = workspace
      .idle()
      .then(async () => await rm(workspace.folder, { recursive: true, force: true, maxRetries: 5 }))
      // What cannot be removed now is removed at the next start.
      .catch(() => undefined)
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }
}

/** Module path of the root of the repository that holds a module in a folder. */
function rootOf(module: string, subdir: string): string {
  const withFolder = subdir !== '' && module.endsWith(`/${subdir}`);
  const root = withFolder ? module.slice(0, -subdir.length - 1) : module;
  return root.replace(/\/v\d+$/, '');
}

function isBelow(module: string, root: string | undefined): boolean {
  return root !== undefined && (module === root || module.startsWith(`${root}/`));
}
