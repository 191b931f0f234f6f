import type { Body, CallOptions, OpenOptions } from '../body.ts';
import type { InterimListener } from '../fetchers/fetcher.ts';
import type { HeaderList } from '../headers.ts';
import type { Digest } from '../storage/digest.ts';

/** How another node asks. */
export interface PeerAsk {
  /** True: it holds this node to be the owner of the key, so no further owner is asked. */
  readonly asOwner: boolean;
  /** Called, perhaps more than once, when it is sure that the answer is here or being worked on. */
  begun(): void;
}

/** A request as a protocol sees it: already checked, hop-by-hop fields gone, no Koa in it. */
export interface ProtocolRequest {
  readonly method: string;
  /** Path and query with the rule's prefix stripped, bytes as the client sent them; starts with `/`. */
  readonly target: string;
  /** What the client asked for, absolute: scheme, lower-case host, port unless default, path and query. */
  readonly publicUrl: string;
  /** Lower-case host and port as the client asked. */
  readonly host: string;
  /** The client's end-to-end fields, forwarding fields of untrusted senders already dropped. */
  readonly headers: HeaderList;
  /** Fields that this node adds to anything it sends upstream for the request: Via, CDN-Loop, X-Forwarded-*. */
  readonly forwarding: HeaderList;
  /** Absent: no body. */
  readonly body?: Body | undefined;
  /** Takes interim answers that come before the answer. Absent: the client is told of none. */
  readonly interim?: InterimListener | undefined;
  /** True: a peer asks and wants only what is kept here. */
  readonly onlyIfCached: boolean;
  /** Absent: no other node asks. */
  readonly peer?: PeerAsk | undefined;
  /** True: it is asked so that the answer is kept, so modes that send clients away do not count. Absent: false. */
  readonly toKeep?: boolean | undefined;
}

/** How the answer came about, in pingora's and RFC 9211's words. */
export type CachePhase = 'hit' | 'miss' | 'stale' | 'revalidated' | 'bypass';

/** Why a request went forward, RFC 9211 §2.2. */
export type ForwardReason =
  | 'bypass'
  | 'method'
  | 'uri-miss'
  | 'vary-miss'
  | 'miss'
  | 'request'
  | 'stale'
  | 'partial';

/** What Cache-Status says of this node's part, RFC 9211 §2. */
export interface CacheReport {
  readonly phase: CachePhase;
  /** Absent: the request did not go forward. */
  readonly forward?: ForwardReason | undefined;
  /** Status the request got when it went forward. */
  readonly forwardStatus?: number | undefined;
  /** True: this answer is being kept. */
  readonly stored?: boolean | undefined;
  /** True: shared another request's fill. */
  readonly collapsed?: boolean | undefined;
  /** Seconds of freshness left; negative when stale. Absent: not known. */
  readonly ttl?: number | undefined;
  /** Milliseconds since the epoch, when an upstream was asked for the answer, or had confirmed it. Absent: not known. */
  readonly askedAt?: number | undefined;
  /** What the answer is kept under. Absent: it is not told. */
  readonly key?: string | undefined;
  /** A word that says more, such as `NETWORK-OFFLINE`. */
  readonly detail?: string | undefined;
}

/** A body that can be read, perhaps in part. */
export interface Content {
  /** Bytes of the whole. Absent: known only at the end. */
  readonly size?: number | undefined;
  /** The whole at once, where it lies in memory and is verified. */
  readonly bytes?: Buffer | undefined;
  /** True: `open` takes a range. False: it can be opened once, from the first byte. */
  readonly seekable: boolean;
  /** True: bytes are missing, and only ranges that the request asked for may be opened. Absent: the whole is there. */
  readonly incomplete?: boolean | undefined;
  /** Errors when it turns out to be cut or damaged: then the connection must not end cleanly. */
  open(options?: OpenOptions): Body;
  /** SHA-256 in hex, where it is known now. */
  readonly digest?: string | undefined;
  /** 32 bytes of SHA-256 for each block of `BLOCK_SIZE`, where they are at hand; for peers. */
  readonly blocks?: Buffer | undefined;
  /** SHA-256 in hex, known with the last byte; for peers. Absent: never. */
  readonly sealedDigest?: Promise<string | undefined> | undefined;
  /** Gives up what was opened for this content without reading it; harmless after `open`. */
  close(): void;
}

/** What an edge needs to give the same answer again to any plain request for the same address. */
export interface Replay {
  readonly namespace: string;
  readonly key: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly freshUntil: number;
  /** Milliseconds since the epoch: after it the protocol wants to see the next request; at most `freshUntil`. */
  readonly until: number;
  /** Milliseconds since the epoch, when it had `initialAge`. */
  readonly receivedAt: number;
  /** Seconds. */
  readonly initialAge: number;
}

/** An answer for the edge to send. */
export interface ProtocolResponse {
  readonly status: number;
  /** End-to-end fields, Age and Date as they have to be; without Content-Length, Via, Cache-Status. */
  readonly headers: HeaderList;
  /** Absent: no body. */
  readonly content?: Content | undefined;
  readonly report: CacheReport;
  /** True: the edge may answer conditions and ranges of the request from this answer, which is a whole 200. */
  readonly selectable: boolean;
  /** Absent: each request has to be looked at by the protocol. */
  readonly replay?: Replay | undefined;
}

/** Understands one kind of request: its key, what may be kept and for how long, how the answer looks. */
export interface Protocol {
  /** The rule it serves. */
  readonly name: string;
  /** Throws a `ProxyError`; an upstream's error status is an answer, not a throw. */
  handle(request: ProtocolRequest, options: CallOptions): Promise<ProtocolResponse>;
  /** True: peers must not learn of what this target names. Absent: they may. */
  isPrivate?(target: string): boolean;
}
