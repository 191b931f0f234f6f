import { setTimeout as delay } from 'node:timers/promises';
import type { PrimaryState } from '@caje/litefs';
import { ProxyError } from '../errors.ts';
import { PrimaryClient } from './primary-client.ts';
import { NamedNodes } from './primary-others.ts';
import { NO_TERM } from './primary-terms.ts';
import type { PrimaryLink } from './replica-shipper.ts';
import type { ClusterSettings } from './writer-protocol.ts';

/** Who LiteFS says is its primary, now and at every change, until the signal is given. */
export type PrimaryStates = (signal: AbortSignal) => AsyncIterable<PrimaryState>;

/** What is looked for, and who is told. */
export interface LiteFsPrimaryOptions {
  readonly settings: ClusterSettings;
  readonly states: PrimaryStates;
  /** Scheme and port of the own peer listener, as soon as it is there. */
  readonly listens: () => string | undefined;
  /** LiteFS has another primary than before, or this node is it. */
  readonly moved: (state: PrimaryState) => void;
  /** The node on LiteFS' primary answers: changes may go there from now on. */
  readonly found: (link: PrimaryLink) => void;
}

/** Pauses before a primary that was lost is looked for again; doubled while it is lost each time. */
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 10_000;

/**
 * Finds the node that LiteFS' primary runs beside: of the nodes that the configuration names, the one that says so of itself.
 * Looks again when LiteFS has another primary, and after a pause when it was lost.
 */
export class LiteFsPrimary implements AsyncDisposable {
  readonly #options: LiteFsPrimaryOptions;
  readonly #nodes: NamedNodes;
  readonly #stop = new AbortController();
  readonly #clients = new Map<string, PrimaryClient>();
  readonly #running: Promise<unknown>;
  #state: PrimaryState | undefined;
  #isFound = false;
  #pauseMs = 0;
  #wake: () => void = () => {};

  constructor(options: LiteFsPrimaryOptions) {
    this.#options = options;
    this.#nodes = new NamedNodes(options.settings);
    this.#running = Promise.all([this.#listen(), this.#run()]);
  }

  /** The node found did not do what it was asked for: it is looked for again, later each time until `works` is called. */
  lost(): void {
    this.#isFound = false;
    this.#pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2), LAST_PAUSE_MS);
    this.#wake();
  }

  /** The node found does what it is asked for. */
  works(): void {
    this.#pauseMs = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#wake();
    for (const client of this.#clients.values()) await client[Symbol.asyncDispose]();
    await this.#running;
  }

  async #listen(): Promise<void> {
    for await (const state of this.#options.states(this.#stop.signal)) {
      this.#state = state;
      this.#isFound = false;
      this.#pauseMs = 0;
      this.#options.moved(state);
      this.#wake();
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#pauseMs > 0) await this.#untilWoken(this.#pauseMs);
      const state = this.#state;
      if (state === undefined || state.isPrimary || this.#isFound) {
        await this.#untilWoken(undefined);
        continue;
      }
      const link = await this.#search(state).catch(() => undefined);
      if (signal.aborted || this.#state !== state) continue;
      if (link === undefined) this.lost();
      else {
        this.#isFound = true;
        this.#options.found(link);
      }
    }
  }

  /** `ms` absent: for as long as it takes. */
  async #untilWoken(ms: number | undefined): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const end = new AbortController();
    const late = ms === undefined ? promise : delay(ms, undefined, { signal: end.signal });
    await Promise.race([promise, late]).catch(() => {});
    end.abort();
    this.#wake = () => {};
  }

  /** The node whose address has the name that LiteFS gives is asked before all others. Rejects where none says that it is there. */
  async #search({ hostname }: PrimaryState): Promise<PrimaryLink> {
    const urls = await this.#nodes.urls();
    for (const [url, client] of this.#clients) {
      if (urls.includes(url)) continue;
      this.#clients.delete(url);
      await client[Symbol.asyncDispose]();
    }
    const named = urls.filter((url) => isNamed(url, hostname));
    const others = urls.filter((url) => !named.includes(url));
    return await this.#firstOf(named).catch(async () => await this.#firstOf(others));
  }

  async #firstOf(urls: readonly string[]): Promise<PrimaryLink> {
    return await Promise.any(urls.map(async (url) => await this.#ask(url)));
  }

  async #ask(url: string): Promise<PrimaryLink> {
    const { settings, listens } = this.#options;
    const client = this.#clients.get(url) ?? new PrimaryClient(url, settings);
    this.#clients.set(url, client);
    const { signal } = this.#stop;
    const request = { known: NO_TERM, node: settings.node, listens: listens() };
    const state = await client.state(request, { signal });
    if (state.role === 'primary' && state.name !== settings.node)
      return { client, known: { term: state.known.term, node: state.name, url: client.url } };
    throw new ProxyError('misdirected', 'litefs-primary.ask', `${url} is not LiteFS' primary`);
  }
}

/** Whether an address is of that host, or begins with its name, as `ID.vm.example.internal` does. */
function isNamed(url: string, hostname: string | undefined): boolean {
  if (hostname === undefined) return false;
  const host = new URL(url).hostname;
  return host === hostname || host.startsWith(`${hostname}.`);
}
