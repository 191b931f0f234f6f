import { kindOf, messageOf, ProxyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { MAX_SOCKETS } from './http-client.ts';
import { Mistrust } from './mistrust.ts';
import { PeerClient, type PeerClientOptions } from './peer-client.ts';
import { PEER_PROTOCOL } from './peer-protocol.ts';

/** What a node of the cluster is to this one. */
export type NodeStanding = 'unknown' | 'live' | 'down' | 'self';

/** What a node is made with. */
export interface ClusterNodeOptions extends PeerClientOptions {
  /** Own name of this process's node. */
  readonly selfId: string;
}

/** How long one that failed is left alone before it is asked who it is again. Milliseconds. */
const HOLD_OFF_MS = 2_000;

/** One address of the cluster: who answers there, and whether it can be used. Tells the log of each change once. */
export class ClusterNode implements AsyncDisposable {
  readonly client: PeerClient;
  /** Keys whose body it gave damaged, or that it does not keep. */
  readonly avoided: Mistrust;
  readonly #options: ClusterNodeOptions;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  #standing: NodeStanding = 'unknown';
  #id: string | undefined;
  #version: string | undefined;
  #problem: string | undefined;
  #heldOffUntil = 0;
  #failures = 0;
  #probing: Promise<void> | undefined;
  #asked = 0;

  constructor(options: ClusterNodeOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#metrics = options.metrics;
    this.client = new PeerClient(options);
    this.avoided = new Mistrust(options.clock);
  }

  /** Such as `http://10.0.0.2:8180`. */
  get url(): string {
    return this.#options.url.origin;
  }

  get standing(): NodeStanding {
    return this.#standing;
  }

  /** Its own name. Absent: it never answered. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Version of caje that it runs. Absent: it never answered. */
  get version(): string | undefined {
    return this.#version;
  }

  /** Why it is not used. Absent: it is, or nothing is known yet. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Asks it who it is, unless it failed a moment ago or is being asked. Never throws. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.#standing === 'down' && this.#options.clock.monotonic() < this.#heldOffUntil) return;
    this.#probing ??= this.#probe(signal).finally(() => {
      this.#probing = undefined;
    });
    await this.#probing;
  }

  /** Takes one of the places for requests to it; what it gives hands it back. Absent: all are taken, which is no fault of the node. */
  enter(): (() => void) | undefined {
    if (this.#asked >= (this.#options.maxSockets ?? MAX_SOCKETS)) return undefined;
    this.#asked += 1;
    let left = false;
    return () => {
      if (!left) this.#asked -= 1;
      left = true;
    };
  }

  /** A request of ours to it failed: it is not used until it has said again who it is. */
  failed(error: unknown): void {
    const kind = kindOf(error);
    if (kind === 'aborted' || kind === 'loop' || this.#standing === 'self') return;
    this.#down(kind, messageOf(error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const failures = this.#failures;
    try {
      const { nodeId, version, protocol, draining } = await this.client.node({ signal });
      this.#id = nodeId;
      this.#version = version;
      if (protocol !== PEER_PROTOCOL)
        throw new ProxyError(
          'unsupported',
          'cluster-node.probe',
          `it speaks peer protocol ${protocol}, this node ${PEER_PROTOCOL}`,
        );
      const isSelf = nodeId === this.#options.selfId;
      if (draining && !isSelf)
        throw new ProxyError('unavailable', 'cluster-node.probe', 'it is stopping');
      // What failed since it was asked is newer than its answer.
      if (failures === this.#failures) this.#up(isSelf ? 'self' : 'live');
    } catch (error) {
      if (!signal.aborted) this.#down(kindOf(error), messageOf(error));
    }
  }

  #up(standing: 'live' | 'self'): void {
    const before = this.#standing;
    this.#standing = standing;
    this.#problem = undefined;
    if (before === standing) return;
    this.#log.info(
      { node: this.url, nodeId: this.#id, version: this.#version },
      standing === 'self'
        ? 'this address of the cluster is our own'
        : 'a node of the cluster is there',
    );
  }

  #down(kind: string, problem: string): void {
    this.#failures += 1;
    this.#heldOffUntil = this.#options.clock.monotonic() + HOLD_OFF_MS;
    const before = this.#standing;
    this.#standing = 'down';
    this.#problem = problem;
    if (before === 'down') return;
    this.#metrics.count('peers_down_total', kind);
    this.#log.warn({ node: this.url, err: problem }, 'a node of the cluster cannot be used');
  }
}
