import type { ComponentKind } from '../component.ts';
import type { LogLevel } from '../log.ts';
import type { FillMode, NetworkMode } from '../protocol/fill-modes.ts';
import type { ListenAddress } from './patterns.ts';

/** A fetcher, stasher or backend as configured; `options` are parsed by its type. */
export interface ComponentConfig {
  readonly name: string;
  readonly type: string;
  readonly options: unknown;
}

/** Components of one kind by name. */
export type Components = ReadonlyMap<string, ComponentConfig>;

/** Which requests go where. The first rule that fits a request takes it. */
export interface Rule {
  readonly name: string;
  /** Lower case; `*.suffix` fits each host below the suffix; with a port only that port. Absent: any host. */
  readonly host?: string | undefined;
  /** Exact, or a prefix that ends in `/*`. */
  readonly path: string;
  /** True: the prefix is cut off before the protocol sees the path. */
  readonly strip: boolean;
  readonly protocol: string;
  /** What the protocol's own type takes beside the common keys, parsed by it. */
  readonly options: unknown;
  /** Namespace of the manifest: what is kept under it is apart from the rest. Absent: the protocol's own. */
  readonly namespace?: string | undefined;
  /** Names of fetchers, asked in this order; at least one. */
  readonly fetch: readonly string[];
  /** `any`: the next fetcher is asked after any failure, not only a peer's. Absent: only where something is not found. */
  readonly fallthrough?: 'any' | undefined;
  /** Name of a stasher. */
  readonly stash: string;
  readonly mode: FillMode;
  readonly network: NetworkMode;
  /** Who says whether something may be served. Absent: everything may. */
  readonly validator?:
    | {
        readonly url: URL;
        readonly timeoutMs: number;
        readonly cacheMs: number;
        readonly onError: 'deny' | 'allow';
      }
    | undefined;
  /** `strict`: kept only if the response says so; `rfc`: all that RFC 9111 allows. */
  readonly freshness: 'strict' | 'rfc';
  /** True: peers may not ask for what this rule serves. */
  readonly private: boolean;
  /** True: a storage within a quota never evicts what this rule keeps; `tags`: only what has one of them. */
  readonly pin: boolean | { readonly tags: readonly string[] };
  /** True: the origin sees the host that the client asked for. */
  readonly preserveHost: boolean;
  /** True: a client's `Cache-Control: no-cache` and the like have their RFC 9111 effect. */
  readonly honorClientReload: boolean;
  /** `bypass`: a request with Cookie is passed through; `ignore`: the field changes nothing. */
  readonly cookies: 'bypass' | 'ignore';
  /** A range of what is not kept: `forward` asks for it alone and keeps it as a part, `whole` fetches the whole once for all ranges. */
  readonly ranges: 'forward' | 'whole';
  /** Whether clients see Surrogate-Key and Cache-Tag; peers do in any case. */
  readonly tags: 'forward' | 'strip';
}

/**
 * What a node may do: `proxy` serves clients, `writer` may write the manifest itself, `populate` fetches the bodies of entries
 * that other nodes made.
 */
export type Role = 'proxy' | 'writer' | 'populate';

/** Who may ask the peer listener. */
export interface PeerToken {
  readonly name: string;
  /** As written: relative to the folder of the configuration. */
  readonly file: string;
}

/** Where other nodes ask. */
export interface PeerListen extends ListenAddress {
  /** Files of PEM texts, as written: relative to the folder of the configuration. Absent: plain HTTP. */
  readonly tls?:
    | {
        readonly cert: string;
        readonly key: string;
        /** Authorities one of which must have signed the certificate of whoever asks. Absent: none is asked for. */
        readonly ca?: string | undefined;
      }
    | undefined;
}

/** Bounds on what a client may send. */
export interface RequestLimits {
  /** Bytes of all fields. */
  readonly headerBytes: number;
  /** Number of fields. */
  readonly fields: number;
  /** Bytes of the request target. */
  readonly targetBytes: number;
  readonly headerTimeMs: number;
  readonly requestTimeMs: number;
  readonly idleTimeMs: number;
  /** Connections at once, on all listeners together. */
  readonly connections: number;
}

/** What the sections of the file say, before paths are made absolute. */
export interface ConfigSections {
  readonly listen: { readonly public: ListenAddress; readonly peer?: PeerListen | undefined };
  /** Bytes. */
  readonly memory: { readonly index: number; readonly bodies: number };
  readonly fills: { readonly concurrent: number };
  readonly data: string;
  /** What this node does; at least one. */
  readonly roles: readonly Role[];
  /** How bodies of others' entries are fetched by a node with that role. `intervalMs`: between two looks at the journal. */
  readonly populate: { readonly intervalMs: number };
  readonly plugins: readonly string[];
  readonly storage: Components;
  readonly fetchers: Components;
  readonly stashers: Components;
  readonly manifest: {
    /** As written: relative to `data` unless absolute. */
    readonly path: string;
    readonly lock: {
      readonly type: 'local' | 'none' | 'peer' | 'litefs' | 'peer-litefs' | 'auto';
      readonly acquireMs: number;
      /** How long a lease for another node is good for. */
      readonly leaseMs: number;
    };
    /** How rows come to this node where another is the primary. */
    readonly replication: 'none' | 'litefs' | 'journal';
    readonly journal: 'auto' | 'wal' | 'delete';
    /** What happens when LiteFS stands still: nothing but a node that is not ready, or its end with code 75. */
    readonly onWedge: 'stay' | 'exit';
    readonly litefs: {
      /** API of the LiteFS beside this node. */
      readonly api: URL;
      /** API of the primary; `{hostname}` stands for what LiteFS calls it. */
      readonly primary: string;
    };
  };
  readonly cluster: {
    /** Two of one name: both are valid, as while a token is changed. */
    readonly tokens: readonly PeerToken[];
    /** File of the token that this node shows to the others, as written. Absent: it has none. */
    readonly token?: { readonly file: string } | undefined;
    /** Peer listeners of all nodes. Absent, with `dns` too: this node shares its keys with nobody. */
    readonly nodes?: readonly URL[] | undefined;
    /** All addresses of this name are nodes. */
    readonly dns?: ListenAddress | undefined;
    /** Peer listener of the node that writes the manifest; it may be this one. Absent: this node writes its own. */
    readonly primary?: URL | undefined;
    /** Longest that a purge waits for the nodes that follow this one. */
    readonly purgeWaitMs: number;
    /** How long a node that reaches no primary uses none of its rows after its start. */
    readonly catchUpMs: number;
    /** Until the owner of a key must have given a sign of life. */
    readonly ownerTimeoutMs: number;
  };
  readonly rules: readonly Rule[];
  /** Addresses and ranges whose forwarding fields are believed. */
  readonly trustedProxies: readonly string[];
  readonly spool: { readonly maxBytes: number };
  readonly drain: { readonly notReadyMs: number; readonly graceMs: number };
  readonly gc: {
    readonly orphanGraceMs: number;
    readonly quarantineMs: number;
    /** Between two times that what nobody needs is removed; 0: only at the start and after each scrub. */
    readonly periodMs: number;
  };
  readonly scrub: {
    /** In which each body is read once; 0: none is. */
    readonly periodMs: number;
    /** Bytes a second at most. */
    readonly rate: number;
  };
  readonly limits: RequestLimits;
  readonly log: { readonly level: LogLevel; readonly access: boolean };
}

/** A configuration that was checked whole: names exist, rules can be reached. Paths are absolute but where said otherwise. */
export interface Config extends ConfigSections {
  /** File as the user named it, or `built-in default`. */
  readonly source: string;
  /** Absolute path of the folder that relative paths in options and token files start from. */
  readonly baseDir: string;
}

/** The section that names the components of a kind. */
export type ComponentSection = 'storage' | 'fetchers' | 'stashers';

/** Kinds of component that have a section, in order of use. */
export const SECTION_OF: Readonly<Record<Exclude<ComponentKind, 'protocol'>, ComponentSection>> = {
  backend: 'storage',
  fetcher: 'fetchers',
  stasher: 'stashers',
};
