import { join } from 'node:path';
import { SystemClock } from './clock.ts';
import type { ComponentType } from './component.ts';
import type { Config, Rule } from './config/config.ts';
import { storagesOf } from './configured-storages.ts';
import { createContainer } from './container.ts';
import { createControlHandlers } from './control-handlers.ts';
import { ProxyError } from './errors.ts';
import type { HouseParts } from './house-parts.ts';
import type { ControlHandler } from './http/control-socket.ts';
import type { Logger } from './log.ts';
import { openDataFolder } from './node-identity.ts';
import type { RowNotes } from './row-notes.ts';
import { type BuiltRule, buildRules } from './rule-set.ts';
import type { Stasher } from './stashers/stasher.ts';
import type { Backend } from './storage/backend.ts';
import type { RepairParts } from './storage-repair.ts';
import { TOKENS } from './tokens.ts';

/** What the operator's commands do where no node runs. */
export interface OfflineNode extends AsyncDisposable {
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  /** For work that is none of a running node's. */
  readonly house: HouseParts & RepairParts;
  readonly rowNotes: RowNotes;
}

export interface OfflineOptions {
  readonly config: Config;
  /** Built-in types; those of plug-ins are bound by their modules. */
  readonly types: readonly ComponentType[];
  readonly plugins: Parameters<typeof createContainer>[0]['plugins'];
  readonly log: Logger;
  /** True: it goes on for long, and a node may serve this folder meanwhile. Absent: it is over soon. */
  readonly beside?: boolean | undefined;
}

/** Whether a process beside a node hands its changes to it, so that the folder has one follower and one shipper. */
export function isGuest({ manifest: { replication, lock }, cluster }: Config): boolean {
  const mayShip = lock.type === 'peer' || (lock.type === 'auto' && cluster.primary !== undefined);
  return replication === 'journal' || mayShip;
}

/** Opens the manifest and what the commands need of stores and rules, without listening; writing takes the manifest's own lock. */
export async function openOfflineNode(options: OfflineOptions): Promise<OfflineNode> {
  const { config, beside = false } = options;
  const clock = new SystemClock();
  const opened = openDataFolder(config.data);
  const guestOf = beside && isGuest(config) ? join(opened.dataDir, 'control.sock') : undefined;
  const identity = { ...opened, guestOf };
  const container = createContainer({ ...options, identity, clock, startDemo: noDemo });
  await using stack = new AsyncDisposableStack();
  stack.use(await container.getAsync(TOKENS.NodeDatabase));
  const manifest = stack.use(await container.getAsync(TOKENS.Manifest));
  const folder = container.get(TOKENS.SpoolFolder);
  stack.defer(() => folder.close());
  stack.use(container.get(TOKENS.HashThread));
  const components = stack.use(await container.getAsync(TOKENS.Components));
  const rowNotes = stack.use(await container.getAsync(TOKENS.RowNotes));
  const purger = await container.getAsync(TOKENS.Purger);
  // Only once a command looks at bodies: a purge works also while a store is out of reach.
  const backends = async (): Promise<readonly (readonly [string, Backend])[]> => {
    for (const { stash } of config.rules) await components.component<Stasher>('stasher', stash);
    return components.made<Backend>('backend');
  };
  // Only the rule that is worked on: another's fetchers may need what only a node has.
  const built = new Map<string, Promise<BuiltRule>>();
  const make = async (rule: Rule): Promise<BuiltRule> => {
    const pullThrough = await container.getAsync(TOKENS.PullThrough);
    const [one] = await buildRules([rule], {
      ...{ components, pullThrough, clock },
      listen: config.listen.public,
      log: options.log,
      metrics: container.get(TOKENS.Metrics),
    });
    if (one === undefined)
      throw new ProxyError('internal', 'offline-node.build', `rule ${rule.name} was not made`);
    return one;
  };
  const build = async (rule: Rule): Promise<BuiltRule> => {
    const making = built.get(rule.name) ?? make(rule);
    built.set(rule.name, making);
    return await making;
  };
  const parts = {
    manifest,
    purger,
    peers: await container.getAsync(TOKENS.ManifestPeers),
    metrics: container.get(TOKENS.Metrics),
    backends,
    config,
    clock,
    nodeId: identity.nodeId,
    hashThread: container.get(TOKENS.HashThread),
    build,
    spool: folder,
    storage: storagesOf(components),
    rowNotes,
  };
  const handlers = createControlHandlers(parts);
  const rest = stack.move();
  return {
    handlers,
    house: parts,
    rowNotes,
    [Symbol.asyncDispose]: async () => await rest.disposeAsync(),
  };
}

async function noDemo(): Promise<URL> {
  throw new ProxyError('internal', 'offline-node.demo', 'nothing is fetched where no node runs');
}
