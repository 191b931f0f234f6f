import type { S3Client } from '@aws-sdk/client-s3';
import type { CallOptions } from '../body.ts';
import type { Clock } from '../clock.ts';
import { kindOf, ProxyError } from '../errors.ts';
import { createS3Client, isRefusal, type S3ClientOptions, s3Error, statusOf } from './s3-client.ts';
import { StoreGate } from './store-gate.ts';

/** One call of the SDK, given what it may be told beside its input. */
type Send<T> = (options: object) => Promise<T>;

/**
 * How a bucket is asked: errors come in caje's words; while the store fails it is left alone but for one call a second;
 * one that only refuses writes (full, not allowed) is still read.
 */
export class S3Connection {
  readonly options: S3ClientOptions;
  readonly client: S3Client;
  readonly bucket: string;
  readonly #gate: StoreGate;
  readonly #writes: StoreGate;

  constructor(options: S3ClientOptions, clock: Clock) {
    this.options = options;
    this.client = createS3Client(options);
    this.bucket = options.bucket;
    this.#gate = new StoreGate(clock);
    this.#writes = new StoreGate(clock);
  }

  /** What the store failed with last. Absent: it works, as far as known. */
  get problem(): string | undefined {
    return this.#gate.problem ?? this.#writes.problem;
  }

  /** Whether a call would reach the store now although it may be failing. */
  get mayProbe(): boolean {
    return this.#gate.mayProbe;
  }

  /** A call that changes no body. */
  async read<T>(verb: string, send: Send<T>, options: CallOptions): Promise<T> {
    const call = async (): Promise<T> => await this.ask(verb, send, options);
    return await this.#gate.run(`s3.${verb}`, call, (error) => statusOf(error) !== 400);
  }

  /** A call that adds to the store. */
  async write<T>(verb: string, send: Send<T>, options: CallOptions): Promise<T> {
    const call = async (): Promise<T> => await this.ask(verb, send, options);
    return await this.#writes.run(
      `s3.${verb}`,
      async () => await this.#gate.run(`s3.${verb}`, call, (error) => !isRefusal(error)),
      (error) => isRefusal(error) && statusOf(error) !== 400,
    );
  }

  /** A call that is made even of a store that fails. */
  async ask<T>(verb: string, send: Send<T>, { signal }: CallOptions): Promise<T> {
    try {
      return await send(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      throw s3Error(`s3.${verb}`, this.options, error);
    }
  }

  /** As `read`, but a store that says nothing within `limitMs` fails. */
  async readWithin<T>(verb: string, send: Send<T>, limitMs: number): Promise<T> {
    try {
      return await this.read(verb, send, { signal: AbortSignal.timeout(limitMs) });
    } catch (error) {
      if (kindOf(error) !== 'aborted') throw error;
      const where = this.options.endpoint ?? `AWS ${this.options.region}`;
      const silent = new ProxyError('unavailable', `s3.${verb}`, `S3 at ${where} does not answer`);
      this.#gate.fail(silent);
      throw silent;
    }
  }

  /** Names an object as the source of a copy. */
  source(key: string): string {
    return encodeURI(`${this.bucket}/${key}`);
  }

  destroy(): void {
    this.client.destroy();
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
