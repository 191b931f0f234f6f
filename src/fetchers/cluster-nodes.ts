import { lookup } from 'node:dns/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { ClusterNode, type ClusterNodeOptions } from './cluster-node.ts';
import { rendezvous } from './rendezvous.ts';

/** Where the nodes of a cluster are: listed, or all addresses of a name. */
export type ClusterPlace =
  | { readonly urls: readonly URL[] }
  | { readonly name: string; readonly port: number; readonly scheme: 'http' | 'https' };

/** What a view of the cluster is made with. */
export interface ClusterOptions
  extends Omit<ClusterNodeOptions, 'url' | 'token' | 'certificateFor'> {
  readonly place: ClusterPlace;
  /** True: others can ask this node, so that it owns keys too. */
  readonly isAsked: boolean;
  /** What this node shows to the others; read anew all the time, so that it can be changed. Throws when it cannot be read. */
  readToken(): Promise<string>;
  /** How often nodes that are not in use are asked who they are, in milliseconds; every fifth time the others are too. Absent: 1 s. */
  readonly roundMs?: number | undefined;
  /** Addresses of a name. Absent: those that the system knows. Throws when it cannot be asked. */
  readonly resolve?: ((name: string) => Promise<readonly string[]>) | undefined;
}

/** Who is responsible for a key: another node, or this one. */
export type Owner = ClusterNode | 'self';

/** Milliseconds. */
const ROUND_MS = 1_000;
/** Rounds after which the others are asked too, and the name is looked up again. */
const FULL_ROUND = 5;

/** What this node knows of the others: which there are, which live, and which of them owns a key. */
export class ClusterNodes implements AsyncDisposable {
  readonly #options: ClusterOptions;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #nodes: readonly ClusterNode[] = [];
  #token = '';
  #tokenProblem: string | undefined;
  #nameProblem: string | undefined;
  #round = 0;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #toldAbsent = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#log = options.log;
    if ('urls' in options.place) this.#nodes = options.place.urls.map((url) => this.#node(url));
  }

  /** All addresses, our own among them. */
  get nodes(): readonly ClusterNode[] {
    return this.#nodes;
  }

  /** Begins to watch. Resolves after the first look at every node; never throws. */
  async start(): Promise<void> {
    await this.#look();
    this.#timer = setInterval(() => void this.#look(), this.#options.roundMs ?? ROUND_MS);
    this.#timer.unref();
  }

  /** Who is to be asked for a key, in this order; those that cannot be used are left out. */
  owners(key: string): readonly Owner[] {
    const { selfId } = this.#options;
    const members = new Map<string, { readonly id: string; readonly owner: Owner }>();
    for (const node of this.#nodes) {
      const { id, standing } = node;
      if (standing === 'live' && id !== undefined) members.set(id, { id, owner: node });
    }
    if (this.#isOwner()) members.set(selfId, { id: selfId, owner: 'self' });
    return rendezvous([...members.values()], key).map(({ owner }) => owner);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#running;
    await Promise.all(this.#nodes.map((node) => node[Symbol.asyncDispose]()));
  }

  // One that the others do not know of would fetch what their owner fetches too.
  #isOwner(): boolean {
    if (!this.#options.isAsked) return false;
    const standings = this.#nodes.map(({ standing }) => standing);
    const isAbsent = standings.length > 0 && standings.every((standing) => standing === 'live');
    if (isAbsent && !this.#toldAbsent) {
      this.#toldAbsent = true;
      this.#log.warn(
        {},
        'this node is not among the nodes of the cluster, so the others do not ask it',
      );
    }
    return !isAbsent;
  }

  async #look(): Promise<void> {
    this.#running ??= this.#oneRound().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async #oneRound(): Promise<void> {
    const isFull = this.#round % FULL_ROUND === 0;
    this.#round += 1;
    await this.#readToken();
    if (isFull) await this.#resolve();
    const { signal } = this.#stop;
    const asked = this.#nodes.filter(
      ({ standing }) => isFull || standing === 'unknown' || standing === 'down',
    );
    await Promise.all(asked.map(async (node) => await node.probe(signal)));
  }

  async #readToken(): Promise<void> {
    try {
      this.#token = await this.#options.readToken();
      this.#tokenProblem = undefined;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#tokenProblem)
        this.#log.error({ err: problem }, 'the token for the cluster cannot be read');
      this.#tokenProblem = problem;
    }
  }

  async #resolve(): Promise<void> {
    const { place, resolve = allAddresses } = this.#options;
    if ('urls' in place) return;
    const { name, port, scheme } = place;
    try {
      const addresses = await resolve(name);
      this.#nameProblem = undefined;
      const urls = [...new Set(addresses)]
        .sort()
        .map((address) => new URL(`${scheme}://${inUrl(address)}:${port}`));
      await this.#replace(urls, name);
    } catch (error) {
      // Who was known is still asked: a name service that is away is no reason to be alone.
      const problem = messageOf(error);
      if (problem !== this.#nameProblem)
        this.#log.warn({ name, err: problem }, 'the nodes of the cluster cannot be looked up');
      this.#nameProblem = problem;
    }
  }

  async #replace(urls: readonly URL[], name: string): Promise<void> {
    const known = new Map(this.#nodes.map((node) => [node.url, node]));
    this.#nodes = urls.map((url) => known.get(url.origin) ?? this.#node(url, name));
    const gone = [...known.values()].filter((node) => !this.#nodes.includes(node));
    for (const node of gone) this.#log.info({ node: node.url }, 'a node left the cluster');
    await Promise.all(gone.map(async (node) => await node[Symbol.asyncDispose]()));
  }

  #node(url: URL, certificateFor?: string): ClusterNode {
    return new ClusterNode({ ...this.#options, url, certificateFor, token: () => this.#token });
  }
}

function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

async function allAddresses(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}
