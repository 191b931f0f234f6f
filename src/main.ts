import { join } from 'node:path';
import type { ContainerModule } from 'inversify';
import { SystemClock } from './clock.ts';
import { openCluster, readPeerTls, tokenFiles } from './cluster-parts.ts';
import type { NodeStatus } from './cluster-schemas.ts';
import { createClusterHandlers } from './cluster-status.ts';
import type { ComponentType } from './component.ts';
import type { Config } from './config/config.ts';
import { storagesOf } from './configured-storages.ts';
import { createContainer } from './container.ts';
import { createControlHandlers } from './control-handlers.ts';
import type { StartDemo } from './demo-fetcher-type.ts';
import { createApp } from './http/app.ts';
import { assertNoNode, openControlSocket } from './http/control-socket.ts';
import { createFastPath } from './http/fast-path.ts';
import { createPeerApi } from './http/peer-api.ts';
import { PeerTokenFiles } from './http/peer-token-files.ts';
import type { TrustCheck } from './http/public-address.ts';
import { type HealthCheck, ownRoutes } from './http/routes.ts';
import { bindServer, makeServer } from './listeners.ts';
import { LiveConfig } from './live-config.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import { openDataFolder } from './node-identity.ts';
import { populateInNode } from './node-populate.ts';
import { statusOfNode } from './node-status.ts';
import { Reloader, type ReloadSource } from './reload.ts';
import type { ReloadReport } from './reload-schemas.ts';
import { RuleEditions } from './rule-editions.ts';
import type { BuiltRule } from './rule-set.ts';
import type { Stasher } from './stashers/stasher.ts';
import type { Backend } from './storage/backend.ts';
import { TOKENS } from './tokens.ts';
import { keepUp } from './upkeep.ts';
import { VERSION } from './version.ts';

/** What starting a node needs beside its configuration. */
export interface StartOptions {
  readonly config: Config;
  /** Built-in types; those of plug-ins are bound by their modules. */
  readonly types: readonly ComponentType[];
  readonly plugins: readonly ContainerModule[];
  readonly log: Logger;
  readonly startDemo: StartDemo;
  /** Where the configuration is loaded from again. Absent: it never is. */
  readonly reload?: ReloadSource | undefined;
  /** Called when LiteFS stands still and the configuration says that the node is to end then. Absent: it stays. */
  readonly onWedged?: (() => void) | undefined;
}

/** A node that serves. */
export interface RunningNode {
  /** Where it listens: `http://127.0.0.1:8080`. Absent: it serves no clients. */
  readonly publicUrl: string | undefined;
  /** Absent: it has no peer listener. */
  readonly peerUrl: string | undefined;
  readonly dataDir: string;
  /** Those in force. */
  readonly rules: readonly BuiltRule[];
  /**
   * Loads the configuration again, as a whole or not at all; nothing under way is cut. Throws why it was refused: the old settings
   * stay then. Both are in the log.
   */
  reload(): Promise<ReloadReport>;
  /** Drains and closes, last opened first. A second call cuts what is left. */
  close(): Promise<void>;
}

/** Longest wait at the end for bodies that are whole and not yet kept. Milliseconds. */
const SETTLE_MS = 5_000;

/** Starts everything the configuration names. Throws a `ProxyError` whose message says what to change; nothing stays open then. */
export async function startNode(options: StartOptions): Promise<RunningNode> {
  const { log } = options;
  const live = new LiveConfig(options.config);
  const config = live.view;
  const clock = new SystemClock();
  const identity = openDataFolder(config.data);
  const controlPath = join(identity.dataDir, 'control.sock');
  // Before anything of the folder is written, or followed.
  await assertNoNode(controlPath);
  const stasher = async (name: string): Promise<Stasher> =>
    await editions.edition.components.component<Stasher>('stasher', name);
  const container = createContainer({ ...options, config, stasher, identity, clock });
  await using stack = new AsyncDisposableStack();
  // Opened in this order, so that what is written through is closed after what writes.
  stack.use(await container.getAsync(TOKENS.NodeDatabase));
  const manifest = stack.use(await container.getAsync(TOKENS.Manifest));
  const folder = container.get(TOKENS.SpoolFolder);
  stack.defer(() => folder.close());
  stack.use(container.get(TOKENS.HashThread));
  const components = stack.use(await container.getAsync(TOKENS.Components));
  const rowNotes = stack.use(await container.getAsync(TOKENS.RowNotes));
  const pullThrough = await container.getAsync(TOKENS.PullThrough);
  const purger = await container.getAsync(TOKENS.Purger);
  const metrics = container.get(TOKENS.Metrics);

  const nodes = await openCluster({ config, identity, clock, log, metrics });
  if (nodes) stack.use(nodes);
  const peers = await container.getAsync(TOKENS.ManifestPeers);
  const parts = {
    ...{ manifest, purger, metrics, config, clock, peers, log, rowNotes },
    backends: async () => backends,
    nodeId: identity.nodeId,
    hashThread: container.get(TOKENS.HashThread),
    build: async (rule: Pick<BuiltRule['config'], 'name'>) => await editions.edition.build(rule),
    spool: folder,
  };
  const editions: RuleEditions = await RuleEditions.open(
    options.config,
    options.reload?.effective ?? {},
    {
      ...{ components, pullThrough, clock, log, metrics, manifest },
      listen: config.listen.public,
      cluster: nodes && { nodes, signMs: config.cluster.ownerTimeoutMs },
      handlers: (edition) =>
        createControlHandlers({ ...parts, ...edition, storage: storagesOf(edition.components) }),
    },
  );
  stack.use(editions);
  const backends = components.made<Backend>('backend');
  const state = { draining: false };
  const checks = healthChecks(manifest, backends);
  const draining = (): boolean => state.draining;
  const routes = ownRoutes({ version: VERSION, health: checks, draining });
  const trusts: TrustCheck = (address) => editions.edition.trusts(address);
  const base = { trusts, log, metrics, routes, router: editions, nodeId: identity.nodeId, clock };
  const listen = { config, log, metrics, clock };
  const isProxy = config.roles.includes('proxy');
  const fast = createFastPath({
    manifest,
    cache: container.get(TOKENS.BodyCache),
    nodeId: identity.nodeId,
    clock,
    metrics,
    access: config.log.access,
  });
  stack.defer(() => fast.close());
  const app = createApp({ ...base, noted: fast.note });
  const publicServer = isProxy ? makeServer(listen, app, fast.serve) : undefined;
  const tokens = { files: await PeerTokenFiles.open(tokenFiles(config), log) };
  stack.defer(() => tokens.files[Symbol.dispose]());
  const status = async (): Promise<NodeStatus> =>
    await statusOfNode({
      ...{ config, identity, peers, draining },
      nodeUrls: () => nodes?.nodes.map(({ url }) => url) ?? [],
    });
  const peerApi = createPeerApi({
    ...base,
    status,
    tokens: () => tokens.files.current,
    version: VERSION,
    draining,
    peers,
    openBlob: async (digest, to) => await editions.edition.openBlob(digest, to),
  });
  const tls = await readPeerTls(config);
  const peerServer = config.listen.peer ? makeServer({ ...listen, tls }, peerApi) : undefined;

  const reloader = new Reloader({
    ...{ config: options.config, source: options.reload, draining, log, metrics },
    prepare: async (next, tree) => {
      const edition = await editions.make(next, tree);
      const files = await PeerTokenFiles.open(tokenFiles(next), log).catch(
        async (error: unknown) => {
          await edition.components[Symbol.asyncDispose]();
          throw error;
        },
      );
      return {
        rules: edition.rules,
        commit: () => {
          live.set(next);
          editions.put(edition);
          fast.clear();
          tokens.files[Symbol.dispose]();
          tokens.files = files;
          rowNotes.reconfigured();
        },
        abandon: async () => {
          files[Symbol.dispose]();
          await edition.components[Symbol.asyncDispose]();
        },
      };
    },
  });
  const listening: { peer?: string | undefined } = {};
  const control = stack.use(
    await openControlSocket({
      path: controlPath,
      handlers: {
        ...Object.fromEntries(editions.commands.map((name) => [name, editions.command(name)])),
        'config-reload': async () => await reloader.reload(),
        ...createClusterHandlers({
          ...{ config, clock, log, metrics, own: status },
          ownUrl: () => listening.peer ?? '',
        }),
      },
      log,
    }),
  );
  log.debug({ path: control.path }, 'control socket open');
  const publicUrl =
    publicServer && (await bindServer(publicServer, config.listen.public, 'public', log));
  stack.defer(async () => void (await publicServer?.close()));
  const peerUrl =
    peerServer && config.listen.peer
      ? await bindServer(peerServer, config.listen.peer, 'peer', log, tls && 'https')
      : undefined;
  listening.peer = peerUrl;
  void nodes?.start();
  if (peerUrl !== undefined) await peers.listening(peerUrl);

  void tellProblems(checks, log);
  rowNotes.start();
  const keeping = new AbortController();
  const kept = keepUp({
    spool: folder,
    backends,
    manifest,
    config,
    clock,
    log,
    metrics,
    nodeId: identity.nodeId,
    dataDir: identity.dataDir,
    sparesOrphans: async () => await rowNotes.hasOthers(),
    build: parts.build,
    signal: keeping.signal,
  });
  const { dataDir } = identity;
  const { intervalMs } = config.populate;
  const populated = config.roles.includes('populate')
    ? populateInNode(parts, { dataDir, intervalMs, signal: keeping.signal })
    : undefined;
  const rest = stack.move();
  return {
    publicUrl,
    peerUrl,
    dataDir: identity.dataDir,
    get rules() {
      return editions.edition.rules;
    },
    reload: async () => await reloader.reload(),
    async close() {
      const { notReadyMs, graceMs } = config.drain;
      state.draining = true;
      peers.drain();
      keeping.abort();
      const cut = await Promise.all(
        [publicServer, peerServer].map(
          async (server) => await server?.close({ notReadyMs, graceMs }),
        ),
      );
      const answers = cut.reduce<number>((sum, count) => sum + (count ?? 0), 0);
      if (answers > 0) log.warn({ answers }, 'answers were cut when the grace time ended');
      await Promise.all([kept, populated]);
      // A body that a client has whole is worth the moment until it is kept.
      await pullThrough.settle(SETTLE_MS);
      await rest.disposeAsync();
    },
  };
}

// A store that cannot be used does not keep a node from serving, but whoever starts it has to learn of it.
async function tellProblems(checks: readonly HealthCheck[], log: Logger): Promise<void> {
  for (const { name, health } of checks) {
    const { problem } = await health();
    if (problem !== undefined)
      log.warn({ part: name, problem }, 'a part cannot be used: what it would keep passes through');
  }
}

function healthChecks(
  manifest: Manifest,
  backends: readonly (readonly [string, Backend])[],
): HealthCheck[] {
  return [
    { name: 'manifest', health: async () => ({ problem: manifest.health().problem }) },
    ...backends.map(([name, backend]) => ({
      name: `storage ${name}`,
      health: async () => await backend.health(),
    })),
  ];
}
