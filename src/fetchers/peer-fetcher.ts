import { Readable } from 'node:stream';
import { kindOf, messageOf } from '../errors.ts';
import { HeaderList } from '../headers.ts';
import { type Logger, silentLogger } from '../log.ts';
import type { ChainLink } from './chain-fetcher.ts';
import type { Fetched, Fetcher, FetchOptions, FetchRequest } from './fetcher.ts';
import { Mistrust } from './mistrust.ts';
import { PeerClient, type PeerClientOptions } from './peer-client.ts';

/** What a peer fetcher is made with. */
export interface PeerOptions extends Omit<PeerClientOptions, 'token' | 'log'> {
  /** Sent as bearer token to this peer alone. */
  readonly token: string;
  /** True: the peer always fetches what it lacks; false: never. Absent: its place in the chain decides. */
  readonly fill?: boolean | undefined;
  /** Milliseconds until a peer that only looks must have answered, or said that it is on its way: what a miss may cost. */
  readonly lookupMs?: number | undefined;
  /** Limits and retries around each way of asking. Absent: none. */
  readonly wrap?: ((fetcher: Fetcher) => Fetcher) | undefined;
  /** Absent: nothing is said. */
  readonly log?: Logger | undefined;
}

/** Milliseconds that asking a peer first may add to a request that the next fetcher answers. */
export const PEER_LOOKUP_MS = 450;

/** Another caje node. It looks into its store only, or fetches for us; see `inChain`. Never asked through a forward proxy. */
export class PeerFetcher implements Fetcher, ChainLink, AsyncDisposable {
  readonly name: string;
  readonly #client: PeerClient;
  readonly #options: PeerOptions;
  readonly #mistrust: Mistrust;
  readonly #lookup: Fetcher;
  readonly #fill: Fetcher;
  #failing = false;

  constructor(options: PeerOptions) {
    const {
      name,
      token,
      log = silentLogger,
      wrap = (fetcher: Fetcher): Fetcher => fetcher,
    } = options;
    this.name = name;
    this.#options = options;
    this.#client = new PeerClient({ ...options, log, token: () => token });
    this.#mistrust = new Mistrust(options.clock);
    this.#lookup = wrap({ name, fetch: async (request, call) => await this.#look(request, call) });
    this.#fill = wrap({
      name,
      fetch: async (request, call) =>
        await this.#told(this.#client.ask(request, { ...call, way: 'fill' })),
    });
  }

  /** Asked as the last of a chain. */
  async fetch(request: FetchRequest, options?: FetchOptions): Promise<Fetched> {
    return await this.inChain(true).fetch(request, options);
  }

  inChain(last: boolean): Fetcher {
    return (this.#options.fill ?? last) ? this.#fill : this.#lookup;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }

  // What it once gave damaged is not asked for again so soon: others stand behind it.
  async #look(request: FetchRequest, options: FetchOptions = {}): Promise<Fetched> {
    const { publicUrl } = request;
    if (this.#mistrust.has(publicUrl)) return this.#miss();
    return await this.#told(
      this.#client.ask(request, {
        ...options,
        way: 'look',
        signWithinMs: this.#options.lookupMs ?? PEER_LOOKUP_MS,
        mistrusted: () => this.#mistrust.note(publicUrl),
      }),
    );
  }

  #miss(): Fetched {
    const body = Readable.from([]);
    return { status: 504, headers: HeaderList.empty, body, source: this.name, miss: true };
  }

  // One line when it begins to fail and one when it is over, however many ask meanwhile.
  async #told(answer: Promise<Fetched>): Promise<Fetched> {
    const { log } = this.#options;
    const peer = this.#client.address;
    try {
      const fetched = await answer;
      if (this.#failing) log?.info({ peer }, 'the peer answers again');
      this.#failing = false;
      return fetched;
    } catch (error) {
      const kind = kindOf(error);
      if (!this.#failing && kind !== 'aborted' && kind !== 'loop') {
        this.#failing = true;
        log?.warn({ peer, err: messageOf(error) }, 'the peer cannot be used');
      }
      throw error;
    }
  }
}
