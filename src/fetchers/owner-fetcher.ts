import type { Clock } from '../clock.ts';
import { kindOf, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { ClusterNode } from './cluster-node.ts';
import type { Owner } from './cluster-nodes.ts';
import { discard } from './discard.ts';
import type { Fetched, Fetcher, FetchOptions, FetchRequest } from './fetcher.ts';
import { PeerAnswerError } from './peer-client.ts';
import { CREDENTIAL_FIELDS } from './request-fields.ts';
import { isRepeatable } from './with-retry.ts';

/** What an owner fetcher is made with. */
export interface OwnerOptions {
  /** Where this node gets it by itself: the rule's chain. */
  readonly own: Fetcher;
  /** Who is to be asked for a key, in this order. */
  owners(key: string): readonly Owner[];
  /** Milliseconds that nodes without a sign of life may cost a request, all together. */
  readonly signMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Goes through the owner of a key, so that all nodes share one fetch; gets by itself what this node owns, what is asked for on
 * behalf of another node, and what an owner cannot know: requests with credentials or a body. An owner that gives no sign of life in
 * time, fails or is full is passed over for the next by hash; one that said that it works on it is waited for.
 */
export class OwnerFetcher implements Fetcher {
  readonly name: string;
  readonly locate: Fetcher['locate'];
  readonly #options: OwnerOptions;

  constructor(options: OwnerOptions) {
    this.name = options.own.name;
    this.locate = options.own.locate?.bind(options.own);
    this.#options = options;
  }

  async fetch(request: FetchRequest, options: FetchOptions = {}): Promise<Fetched> {
    const { own, owners, clock } = this.#options;
    const { key } = options;
    if (key === undefined || !mayBeShown(request)) return await own.fetch(request, options);
    let left = this.#options.signMs;
    for (const owner of owners(key)) {
      if (owner === 'self' || left <= 0 || owner.avoided.has(key)) break;
      const from = clock.monotonic();
      let waited = 0;
      const begun = (): void => {
        waited ||= clock.monotonic() - from;
        options.begun?.();
      };
      const fetched = await this.#ask(owner, request, { ...options, key, begun }, left);
      if (fetched !== undefined) return fetched;
      left -= waited || clock.monotonic() - from;
    }
    return await own.fetch(request, options);
  }

  // Absent: somebody else has to be asked.
  async #ask(
    node: ClusterNode,
    request: FetchRequest,
    options: FetchOptions & { readonly key: string },
    signWithinMs: number,
  ): Promise<Fetched | undefined> {
    const { key } = options;
    const mistrusted = (): void => node.avoided.note(key);
    const leave = node.enter();
    if (leave === undefined) {
      this.#count('busy');
      return undefined;
    }
    try {
      const fetched = await node.client.ask(request, {
        ...options,
        way: 'own',
        signWithinMs,
        mistrusted,
      });
      if (fetched.miss === true || fetched.status >= 500) {
        this.#count(fetched.miss === true ? 'declined' : 'error');
        discard(fetched.body);
        leave();
        return undefined;
      }
      this.#count('answered');
      fetched.body.once('close', leave);
      if (fetched.body.closed) leave();
      // What is not kept there is fetched by each for itself from now on.
      if (fetched.unkept === true && isWhole(request)) node.avoided.note(key);
      fetched.body.once('error', (error) => {
        const kind = kindOf(error);
        if (kind === 'upstream' || kind === 'timeout') node.failed(error);
      });
      return fetched;
    } catch (error) {
      leave();
      if (options.signal?.aborted === true) throw error;
      this.#passedOver(node, error);
      return undefined;
    }
  }

  #passedOver(node: ClusterNode, error: unknown): void {
    const kind = kindOf(error);
    this.#count(kind);
    const { log } = this.#options;
    log.debug({ node: node.url, err: messageOf(error) }, 'the owner of a key is passed over');
    // It lives and says so: only this request is none of its.
    if (!(error instanceof PeerAnswerError) && kind !== 'integrity') node.failed(error);
  }

  #count(outcome: string): void {
    this.#options.metrics.count('owner_asked_total', outcome);
  }
}

// A HEAD or a part is kept nowhere, which says nothing of the whole.
function isWhole({ method, headers }: FetchRequest): boolean {
  return method === 'GET' && !headers.has('range');
}

function mayBeShown(request: FetchRequest): boolean {
  return (
    isRepeatable(request) &&
    request.headers.lines.every(([name]) => !CREDENTIAL_FIELDS.has(name.toLowerCase()))
  );
}
