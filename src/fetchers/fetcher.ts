import type { Body, CallOptions } from '../body.ts';
import type { HeaderList } from '../headers.ts';

/** One thing to get, told so that every kind of place understands it. */
export interface FetchRequest {
  /** `GET`, `HEAD`, or for pass-through any other. */
  readonly method: string;
  /** Path and query as the origin sees them: starts with `/`, bytes as the client sent them, the rule's prefix stripped. */
  readonly path: string;
  /** What the client asked for, absolute: `http://www.example.com/a?b`. Peers find their own rule by it. */
  readonly publicUrl: string;
  /** End-to-end fields ready to be sent; hop-by-hop fields are already gone. */
  readonly headers: HeaderList;
  /** Absent: no body. */
  readonly body?: Body | undefined;
  /** Host to send where the rule preserves it. Absent: the origin's own. */
  readonly host?: string | undefined;
}

/** An answer whose body is still arriving. */
export interface Fetched {
  readonly status: number;
  /** As received: order, case and repeats kept, body bytes not decoded. */
  readonly headers: HeaderList;
  /** Errors with `upstream` or `timeout` when it is cut short: a clean end means that it was whole. */
  readonly body: Body;
  /** Name of the fetcher that answered, for the manifest and the log. */
  readonly source: string;
  /** True: a place that only looks into its own store does not have it; a chain goes on. */
  readonly miss?: boolean | undefined;
  /** True: another node's answer; its Age says how long that node has had it. Absent: an origin's. */
  readonly fromPeer?: boolean | undefined;
  /** True: whoever fetched it for us does not keep it, so that asking there again would be a way round. Absent: not known. */
  readonly unkept?: boolean | undefined;
  /** SHA-256 in hex that the sender promised, known with the last byte at the latest. Absent: none promised. */
  readonly promisedDigest?: Promise<string | undefined> | undefined;
  /** SHA-256 of all its blocks, each of which is compared before its bytes are handed on. Absent: nobody compares them. */
  readonly checkedBlocks?: Buffer | undefined;
  /** Called when the body is found to differ from what was promised. Absent: nobody wants to know. */
  readonly mistrusted?: (() => void) | undefined;
  /** False: the end of the body cannot be told from a cut (close-delimited, RFC 9112 §6.3). Absent: it can. */
  readonly complete?: boolean | undefined;
}

/** What a fetch may be told beside its request. Fetchers that stand before others hand it on. */
export interface FetchOptions extends CallOptions {
  /** What the answer is kept under, the same text on every node: decides which of them fetches it for all. Absent: this one does. */
  readonly key?: string | undefined;
  /**
   * Time of the monotonic clock, by the fields of an answer: what a node that stands before the origin asked for earlier may have
   * been purged since, and is of no use. Absent, or absent result: any age will do.
   */
  readonly notBefore?: ((answer: HeaderList) => number | undefined) | undefined;
  /** Called, perhaps more than once, when it is sure that some place works on the answer, long before its head is there. */
  readonly begun?: (() => void) | undefined;
  /** Called with each interim answer of an origin as it comes. Absent: nobody wants them. */
  readonly interim?: InterimListener | undefined;
}

/** Takes interim answers (RFC 9110 §15.2): the status, 1xx, and the fields as they came. */
export type InterimListener = (status: number, headers: HeaderList) => void;

/** Gets one thing from one kind of place. One fetch is one request upstream, but for a retry before the first byte. */
export interface Fetcher {
  /** As named in the configuration. */
  readonly name: string;
  /**
   * Throws `upstream` when the place cannot be reached or answers nonsense, `timeout` when it is too slow, `unavailable`
   * when too many wait already, `loop` when the request came from here. An error status is an answer, not a throw.
   */
  fetch(request: FetchRequest, options?: FetchOptions): Promise<Fetched>;
  /**
   * The address at which a client can get the same by itself, without credentials. Absent, or resolved to absent: there is
   * none that a client could use.
   */
  readonly locate?:
    | ((request: FetchRequest, options?: CallOptions) => Promise<URL | undefined>)
    | undefined;
}
