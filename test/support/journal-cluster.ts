import { eventually } from '../criteria/eventually.ts';
import { queryFile } from '../criteria/node-files.ts';
import { type JournalNode, type JournalNodeOptions, startJournalNode } from './journal-nodes.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

/** Entries in the order of their keys, tombstones too. */
export const ENTRIES = 'SELECT * FROM entries ORDER BY nsid, key, variant';
/** Journal rows from a number on. */
export const JOURNAL = 'SELECT * FROM journal WHERE jid >= ? ORDER BY nsid, jid';

/** Rows of a node's manifest without the one column that is each node's own. */
export function rowsOf(
  node: Pick<JournalNode, 'path'>,
  sql: string,
  ...values: unknown[]
): unknown[] {
  return queryFile<Record<string, unknown>>(node.path, sql, ...values).map(
    ({ updated_at: _, ...row }) => row,
  );
}

/** Resolves when nodes have equal entries, and know it. */
export async function untilEqual(...nodes: readonly JournalNode[]): Promise<void> {
  await eventually('equal rows', () => {
    const all = nodes.map((node) =>
      JSON.stringify([rowsOf(node, ENTRIES), node.manifest.position('web')]),
    );
    return nodes.every(
      ({ manifest }, index) => manifest.peers.own.trusted && all[index] === all[0],
    );
  });
}

/** Nodes of one test; disposing ends them and removes their folders. */
export class JournalCluster implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #folders = new Map<string, TempFolder>();

  /** Starts a node by name, on the folder it had before. `primary`: absent: it is the primary. */
  async start(
    name: string,
    primary?: string,
    more: Partial<JournalNodeOptions> = {},
  ): Promise<JournalNode> {
    const folder = this.#folders.get(name) ?? this.#stack.use(await tempFolder());
    this.#folders.set(name, folder);
    const options = { folder: folder.path, name, purgeWaitMs: 2000, primary };
    return this.#stack.use(await startJournalNode({ ...options, ...more }));
  }

  /** Ended with the nodes. */
  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    return this.#stack.use(resource);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
