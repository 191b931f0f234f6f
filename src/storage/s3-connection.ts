import type { S3Client, ServerSideEncryption, StorageClass } from '@aws-sdk/client-s3';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, ProxyError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { createS3Client, type S3ClientOptions } from './s3-client.ts';
import { isLasting, isRefusal, reasonOf, type S3Right, s3Error, whereOf } from './s3-errors.ts';
import { S3_LIMITS, type S3Limits } from './s3-limits.ts';
import { StoreGate } from './store-gate.ts';

/** One call of the SDK, given what it may be told beside its input. */
type Send<T> = (client: S3Client, options: object) => Promise<T>;

/** A call: what it needs and how long it may take. */
export interface S3Call extends CallOptions {
  /** Such as `put`. */
  readonly verb: string;
  readonly right: S3Right;
  /** Bytes that are sent with it. Absent: hardly any. */
  readonly bytes?: number | undefined;
  /** Milliseconds. Absent: the limit of an answer, and more for bytes that are sent. */
  readonly limitMs?: number | undefined;
  /** True: the store works on it for as long as a copy may take. */
  readonly isCopy?: boolean | undefined;
}

/** A link slower than this, in bytes per millisecond, is none to keep bodies over. */
const SLOWEST = 128;

/**
 * How a bucket is asked: errors come in caje's words, and each call ends within its limit, tries included. While the store
 * fails it is left alone but for one call a second; one that refuses a right (full, not allowed) is still used for the others.
 */
export class S3Connection {
  readonly options: S3ClientOptions;
  readonly bucket: string;
  readonly limits: S3Limits;
  readonly #client: S3Client;
  readonly #metrics: Metrics | undefined;
  readonly #outage: StoreGate;
  readonly #refusals: Readonly<Record<S3Right, StoreGate>>;
  #patient: S3Client | undefined;
  #full: string | undefined;

  constructor(options: S3ClientOptions, clock: Clock, metrics?: Metrics) {
    this.options = options;
    this.bucket = options.bucket;
    this.limits = options.limits ?? S3_LIMITS;
    this.#client = createS3Client(options);
    this.#metrics = metrics;
    this.#outage = new StoreGate(clock);
    this.#refusals = {
      read: new StoreGate(clock),
      write: new StoreGate(clock),
      list: new StoreGate(clock),
      delete: new StoreGate(clock),
    };
  }

  /** What the store failed with last. Absent: it works, as far as known. */
  get problem(): string | undefined {
    const refused = Object.values(this.#refusals).find(({ problem }) => problem !== undefined);
    return this.#outage.problem ?? refused?.problem ?? this.#full;
  }

  /** Whether a call would reach the store now although it may be failing. */
  get mayProbe(): boolean {
    return this.#outage.problem === undefined || this.#outage.mayProbe;
  }

  /** Whether the store refused this when it was last asked for it. */
  refuses(right: S3Right): boolean {
    return this.#refusals[right].problem !== undefined;
  }

  /** Whether the store had no room when bytes were last sent to it. */
  get isFull(): boolean {
    return this.#full !== undefined;
  }

  /** Milliseconds that the store's clock is ahead of this machine's, as far as its answers told. */
  get clockOffset(): number {
    return this.#client.config.systemClockOffset;
  }

  /** Sends a call unless the store is known to fail, or to refuse it. */
  async call<T>(call: S3Call, send: Send<T>): Promise<T> {
    const op = `s3.${call.verb}`;
    const ask = async (): Promise<T> => await this.ask(call, send);
    return await this.#refusals[call.right].run(
      op,
      async () => await this.#outage.run(op, ask, (error) => !isRefusal(error)),
      isLasting,
    );
  }

  /** A call that is made even of a store that fails. */
  async ask<T>(call: S3Call, send: Send<T>): Promise<T> {
    const op = `s3.${call.verb}`;
    const { signal, right, isCopy } = call;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), this.#limitOf(call));
    const abortSignal = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    try {
      const answer = await send(isCopy === true ? this.#patientClient : this.#client, {
        abortSignal,
      });
      if (call.bytes !== undefined) this.#full = undefined;
      return answer;
    } catch (error) {
      const isLate = late.signal.aborted && signal?.aborted !== true;
      const failure = isLate
        ? new ProxyError('unavailable', op, `S3 at ${whereOf(this.options)}: does not answer`)
        : s3Error(op, this.options, error, right);
      if (failure.kind === 'unavailable')
        this.#metrics?.count('store_failures_total', isLate ? 'silent' : reasonOf(error));
      if (reasonOf(error) === 'full') this.#full = failure.message;
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  }

  /** How what is written is to be encrypted and, for a body, where it is to lie. */
  placement(isBody: boolean): {
    ServerSideEncryption?: ServerSideEncryption;
    SSEKMSKeyId?: string;
    StorageClass?: StorageClass;
  } {
    const { sse, sseKeyId, storageClass } = this.options;
    return {
      ...(sse !== undefined && { ServerSideEncryption: sse }),
      ...(sseKeyId !== undefined && { SSEKMSKeyId: sseKeyId }),
      ...(isBody && storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
    };
  }

  /** Names an object as the source of a copy. */
  source(key: string): string {
    return encodeURI(`${this.bucket}/${key}`);
  }

  destroy(): void {
    this.#client.destroy();
    this.#patient?.destroy();
  }

  get #patientClient(): S3Client {
    this.#patient ??= createS3Client(this.options, true);
    return this.#patient;
  }

  #limitOf({ limitMs, isCopy, bytes }: S3Call): number {
    const { answerMs, idleMs, copyMs } = this.limits;
    if (limitMs !== undefined) return limitMs;
    if (isCopy === true) return copyMs;
    return bytes === undefined ? answerMs : idleMs + Math.ceil(bytes / SLOWEST);
  }
}

/** The same, with what is not there as undefined. */
export async function orAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}
