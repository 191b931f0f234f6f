import type { ServiceIdentifier } from 'inversify';
import type { Clock } from './clock.ts';
import type { ComponentType } from './component.ts';
import type { ComponentRegistry } from './component-registry.ts';
import type { Config } from './config/config.ts';
import type { FetchLimit } from './fetchers/fetch-limit.ts';
import type { HashThread } from './gomod/hash-thread.ts';
import type { Logger } from './log.ts';
import type { Manifest } from './manifest/manifest.ts';
import type { PrimaryService } from './manifest/primary-service.ts';
import type { SqliteManifest } from './manifest/sqlite-manifest.ts';
import type { Metrics } from './metrics.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PullThrough } from './protocol/pull-through.ts';
import type { Purger } from './protocol/purger.ts';
import type { RowNotes } from './row-notes.ts';
import type { SpoolFolder } from './stashers/spool-folder.ts';
import type { BodyCache } from './storage/body-cache.ts';
import type { NodeDatabase } from './storage/node-database.ts';

/**
 * What the container binds. `ComponentType` is bound many times, by the built-in types and by plug-ins alike; its symbol is
 * a registered one, so that a plug-in with a copy of caje of its own binds the same.
 */
export const TOKENS: {
  readonly Config: ServiceIdentifier<Config>;
  readonly Identity: ServiceIdentifier<NodeIdentity>;
  readonly Clock: ServiceIdentifier<Clock>;
  readonly Log: ServiceIdentifier<Logger>;
  readonly Metrics: ServiceIdentifier<Metrics>;
  readonly NodeDatabase: ServiceIdentifier<NodeDatabase>;
  readonly Manifest: ServiceIdentifier<Manifest>;
  /** The same, for those who have to do with other nodes. */
  readonly SqliteManifest: ServiceIdentifier<SqliteManifest>;
  readonly ManifestPeers: ServiceIdentifier<PrimaryService>;
  readonly BodyCache: ServiceIdentifier<BodyCache>;
  readonly SpoolFolder: ServiceIdentifier<SpoolFolder>;
  readonly FetchLimit: ServiceIdentifier<FetchLimit>;
  readonly HashThread: ServiceIdentifier<HashThread>;
  readonly PullThrough: ServiceIdentifier<PullThrough>;
  readonly Purger: ServiceIdentifier<Purger>;
  readonly ComponentType: ServiceIdentifier<ComponentType>;
  readonly ComponentTypes: ServiceIdentifier<readonly ComponentType[]>;
  readonly Components: ServiceIdentifier<ComponentRegistry>;
  readonly RowNotes: ServiceIdentifier<RowNotes>;
} = {
  Config: Symbol('Config'),
  Identity: Symbol('Identity'),
  Clock: Symbol('Clock'),
  Log: Symbol('Log'),
  Metrics: Symbol('Metrics'),
  NodeDatabase: Symbol('NodeDatabase'),
  Manifest: Symbol('Manifest'),
  SqliteManifest: Symbol('SqliteManifest'),
  ManifestPeers: Symbol('ManifestPeers'),
  BodyCache: Symbol('BodyCache'),
  SpoolFolder: Symbol('SpoolFolder'),
  FetchLimit: Symbol('FetchLimit'),
  HashThread: Symbol('HashThread'),
  PullThrough: Symbol('PullThrough'),
  Purger: Symbol('Purger'),
  ComponentType: Symbol.for('caje.ComponentType'),
  ComponentTypes: Symbol('ComponentTypes'),
  Components: Symbol('Components'),
  RowNotes: Symbol('RowNotes'),
};
