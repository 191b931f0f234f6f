import { join, resolve } from 'node:path';
import { Container, ContainerModule } from 'inversify';
import type { Clock } from './clock.ts';
import type { ComponentType, ServiceKey } from './component.ts';
import { ComponentRegistry } from './component-registry.ts';
import type { Config } from './config/config.ts';
import { type ConfiguredStorages, storagesOf } from './configured-storages.ts';
import { START_DEMO, type StartDemo } from './demo-fetcher-type.ts';
import { FETCH_LIMIT, FetchLimit } from './fetchers/fetch-limit.ts';
import { HashThread } from './gomod/hash-thread.ts';
import type { Logger } from './log.ts';
import type { LiteFsAddresses } from './manifest/litefs-nodes.ts';
import { openManifest } from './manifest/open-manifest.ts';
import { manifestCluster } from './manifest-cluster.ts';
import { Metrics } from './metrics.ts';
import type { NodeIdentity } from './node-identity.ts';
import { pinnedBodies } from './pinned-bodies.ts';
import { HASH_THREAD } from './protocol/go-protocol-type.ts';
import { PURGER } from './protocol/protocol-types.ts';
import { PullThrough } from './protocol/pull-through.ts';
import { Purger } from './protocol/purger.ts';
import { RowNotes } from './row-notes.ts';
import { bodyRelay } from './stashers/body-relay.ts';
import { SpoolFolder } from './stashers/spool-folder.ts';
import { MANIFEST } from './stashers/stasher-types.ts';
import { BODY_CACHE, BodyCache } from './storage/body-cache.ts';
import { PINS } from './storage/eviction.ts';
import { NODE_DATABASE, NodeDatabase } from './storage/node-database.ts';
import { START_RELAY } from './storage/tiered-refills.ts';
import { TOKENS } from './tokens.ts';

/** What the outside gives to a node. */
export interface ContainerOptions {
  readonly config: Config;
  readonly identity: NodeIdentity;
  readonly clock: Clock;
  readonly log: Logger;
  readonly types: readonly ComponentType[];
  readonly plugins: readonly ContainerModule[];
  readonly startDemo: StartDemo;
  /** The stasher of that name that rules use. Absent: the one of `TOKENS.Components`. */
  readonly stasher?: ConfiguredStorages['stasher'] | undefined;
  /** Called when LiteFS stands still and the configuration says that the node is to end then. Absent: it stays. */
  readonly onWedged?: (() => void) | undefined;
}

/** Largest body that is kept; larger ones pass. 10 GiB, reliability's default. */
const MAX_BODY_BYTES = 10 * 1024 ** 3;

/** All bindings of a node, in one place; everything is a singleton and made when it is first asked for. */
export function createContainer(options: ContainerOptions): Container {
  const container = new Container({ defaultScope: 'Singleton' });
  container.load(
    surroundings(options),
    storageModule,
    manifestModule(options),
    fetcherModule,
    protocolModule,
    componentModule(options),
    notesModule(options),
    ...options.plugins,
  );
  return container;
}

function surroundings({ config, identity, clock, log }: ContainerOptions): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(TOKENS.Config).toConstantValue(config);
    bind(TOKENS.Identity).toConstantValue(identity);
    bind(TOKENS.Clock).toConstantValue(clock);
    bind(TOKENS.Log).toConstantValue(log);
    bind(TOKENS.Metrics).toConstantValue(new Metrics());
  });
}

const storageModule = new ContainerModule(({ bind }) => {
  bind(TOKENS.NodeDatabase).toResolvedValue(
    async (identity, clock, log) =>
      await NodeDatabase.open({ path: nodeDatabasePath(identity), clock, log }),
    [TOKENS.Identity, TOKENS.Clock, TOKENS.Log],
  );
  bind(TOKENS.BodyCache).toResolvedValue(
    (config) => new BodyCache(config.memory.bodies),
    [TOKENS.Config],
  );
});

function manifestModule({ onWedged }: ContainerOptions): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(TOKENS.SqliteManifest).toResolvedValue(
      async (config, identity, clock, log, metrics) =>
        await openManifest({
          ...(await manifestCluster(config, identity)),
          path: manifestPath(config, identity),
          nodeDatabasePath: nodeDatabasePath(identity),
          lock: config.manifest.lock.type,
          journal: config.manifest.journal,
          liteFs: liteFsAddresses(config),
          onWedged: config.manifest.onWedge === 'exit' ? onWedged : undefined,
          acquireTimeoutMs: config.manifest.lock.acquireMs,
          indexBytes: config.memory.index,
          clock,
          log,
          metrics,
        }),
      [TOKENS.Config, TOKENS.Identity, TOKENS.Clock, TOKENS.Log, TOKENS.Metrics],
    );
    bind(TOKENS.Manifest).toResolvedValue((manifest) => manifest, [TOKENS.SqliteManifest]);
    bind(TOKENS.ManifestPeers).toResolvedValue(
      (manifest) => manifest.peers,
      [TOKENS.SqliteManifest],
    );
  });
}

const fetcherModule = new ContainerModule(({ bind }) => {
  bind(TOKENS.FetchLimit).toResolvedValue(
    (config, clock, metrics) =>
      new FetchLimit({ concurrent: config.fills.concurrent, clock, metrics }),
    [TOKENS.Config, TOKENS.Clock, TOKENS.Metrics],
  );
});

const protocolModule = new ContainerModule(({ bind }) => {
  bind(TOKENS.HashThread).toResolvedValue(() => new HashThread());
  bind(TOKENS.SpoolFolder).toResolvedValue(
    (config, identity) => new SpoolFolder(join(identity.dataDir, 'spool'), config.spool.maxBytes),
    [TOKENS.Config, TOKENS.Identity],
  );
  bind(TOKENS.PullThrough).toResolvedValue(
    (manifest, cache, folder, clock, log, metrics) =>
      new PullThrough({
        manifest,
        cache,
        folder,
        clock,
        log,
        metrics,
        maxBodyBytes: MAX_BODY_BYTES,
      }),
    [
      TOKENS.Manifest,
      TOKENS.BodyCache,
      TOKENS.SpoolFolder,
      TOKENS.Clock,
      TOKENS.Log,
      TOKENS.Metrics,
    ],
  );
  bind(TOKENS.Purger).toResolvedValue(
    (manifest, pullThrough, metrics) => new Purger(manifest, pullThrough, metrics),
    [TOKENS.Manifest, TOKENS.PullThrough, TOKENS.Metrics],
  );
});

function componentModule({ types, startDemo }: ContainerOptions): ContainerModule {
  return new ContainerModule(({ bind }) => {
    for (const type of types) bind(TOKENS.ComponentType).toConstantValue(type);
    bind(TOKENS.ComponentTypes).toResolvedValue(
      (all: ComponentType[]) => all,
      [{ serviceIdentifier: TOKENS.ComponentType, isMultiple: true }],
    );
    bind(TOKENS.Components).toResolvedValue(
      (
        types,
        config,
        identity,
        clock,
        log,
        metrics,
        database,
        cache,
        manifest,
        limit,
        purger,
        hashes,
        folder,
      ) =>
        new ComponentRegistry({
          config,
          identity,
          clock,
          log,
          metrics,
          types,
          services: new Map<ServiceKey<unknown>, unknown>([
            [NODE_DATABASE, database],
            [BODY_CACHE, cache],
            [MANIFEST, manifest],
            [FETCH_LIMIT, limit],
            [PURGER, purger],
            [HASH_THREAD, hashes],
            [START_RELAY, bodyRelay(folder)],
            [PINS, pinnedBodies(manifest, config)],
            [START_DEMO, startDemo],
          ]),
        }),
      [
        TOKENS.ComponentTypes,
        TOKENS.Config,
        TOKENS.Identity,
        TOKENS.Clock,
        TOKENS.Log,
        TOKENS.Metrics,
        TOKENS.NodeDatabase,
        TOKENS.BodyCache,
        TOKENS.Manifest,
        TOKENS.FetchLimit,
        TOKENS.Purger,
        TOKENS.HashThread,
        TOKENS.SpoolFolder,
      ],
    );
  });
}

function notesModule({ stasher }: ContainerOptions): ContainerModule {
  return new ContainerModule(({ bind }) => {
    bind(TOKENS.RowNotes).toResolvedValue(
      (config, identity, manifest, components, clock, log) => {
        const storage = storagesOf(components);
        return new RowNotes({
          ...{ config, manifest, clock, log },
          storage: { ...storage, stasher: stasher ?? storage.stasher },
          path: manifest.rowsPath,
          nodeId: identity.nodeId,
        });
      },
      [
        TOKENS.Config,
        TOKENS.Identity,
        TOKENS.Manifest,
        TOKENS.Components,
        TOKENS.Clock,
        TOKENS.Log,
      ],
    );
  });
}

function manifestPath({ manifest }: Config, { dataDir }: NodeIdentity): string {
  return resolve(dataDir, manifest.path);
}

function liteFsAddresses({ manifest: { litefs } }: Config): LiteFsAddresses {
  // Behind it comes a path of its own.
  return { api: litefs.api.href, primary: litefs.primary };
}

function nodeDatabasePath({ dataDir }: NodeIdentity): string {
  return join(dataDir, 'node.db');
}
