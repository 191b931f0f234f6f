import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { Body } from '../body.ts';
import type { Clock } from '../clock.ts';
import { codeOf, ProxyError } from '../errors.ts';
import { HeaderList } from '../headers.ts';
import { type Asked, readHead } from './answer-head.ts';
import { givenUp, translateHttpError } from './http-errors.ts';

/** The head of an answer and its body on the way. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: HeaderList;
  /** Errors with `upstream` or `timeout` when cut; destroying it closes its connection. */
  readonly body: Readable;
  /** False: the body ends with the connection (RFC 9112 §6.3). */
  readonly complete: boolean;
}

/** Trailer fields by lower-case name. */
export type Trailers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What an exchange needs to know of its client. */
export interface ExchangeContext {
  /** `host:port`, for messages. */
  readonly address: string;
  readonly clock: Clock;
  /** Bytes per second below which a body is given up; 0: never. */
  readonly minRate: number;
  /** Milliseconds over which the rate is measured. */
  readonly minRateWindowMs: number;
  /** Told of each failure that is the other side's. */
  failed(error: ProxyError): void;
}

/** What one exchange asks beside the request itself. */
export interface ExchangeOptions {
  readonly asked: Asked;
  /** The request's body; destroyed when the exchange fails. */
  readonly body?: Body | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the head must be there, waiting for a connection included. Absent: the client's limits alone. */
  readonly headWithinMs?: number | undefined;
  /** Told of each interim answer (1xx) and its fields; `headWithinMs` is met by the first. Absent: they count for nothing. */
  readonly interim?: ((status: number, headers: HeaderList) => void) | undefined;
  /** Told once: the trailer fields when the answer was whole, undefined when it was not. */
  readonly ended?: ((trailers: Trailers | undefined) => void) | undefined;
}

// An origin has no reason for more; each one would renew the wait for the head.
const MAX_INTERIM_ANSWERS = 32;
const BODY_BUFFER_BYTES = 256 * 1024;

const nothing = (): void => {};

/** One request and its answer over undici's dispatch: checks the head, counts the body, translates every failure. */
export class HttpExchange implements Dispatcher.DispatchHandler {
  readonly #context: ExchangeContext;
  readonly #options: ExchangeOptions;
  #settle: { resolve(answer: HttpAnswer): void; reject(error: ProxyError): void } | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #body: AnswerBody | undefined;
  #over: ProxyError | true | undefined;
  #touched = false;
  #interim = 0;
  #length: number | undefined;
  #bytes = 0;
  #windowBytes = 0;
  #windowAt = 0;
  #pausedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #onAbort: (() => void) | undefined;

  constructor(
    context: ExchangeContext,
    options: ExchangeOptions,
    resolve: (answer: HttpAnswer) => void,
    reject: (error: ProxyError) => void,
  ) {
    this.#context = context;
    this.#options = options;
    this.#settle = { resolve, reject };
    const { signal, headWithinMs } = options;
    if (signal !== undefined) {
      this.#onAbort = () => this.#fail(givenUp(signal.reason));
      signal.addEventListener('abort', this.#onAbort, { once: true });
    }
    if (headWithinMs !== undefined) {
      this.#timer = setTimeout(() => {
        const message = `${context.address}: no answer within ${headWithinMs} ms`;
        this.#fail(new ProxyError('timeout', 'http-client.send', message));
      }, headWithinMs);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // Given up while it waited for a connection.
    if (this.#over instanceof ProxyError) controller.abort(this.#over);
  }

  onResponseStarted(): void {
    this.#touched = true;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    const { address, clock } = this.#context;
    if (status < 200 && status !== 101 && ++this.#interim <= MAX_INTERIM_ANSWERS) {
      if (this.#options.interim === undefined) return;
      if (this.#timer !== undefined) clearTimeout(this.#timer);
      const raw = (controller.rawHeaders ?? []) as readonly (Buffer | string)[];
      this.#options.interim(status, HeaderList.fromRaw(raw));
      return;
    }
    const raw = (controller.rawHeaders ?? []) as readonly (Buffer | string)[];
    const head = readHead(status, raw, this.#options.asked, address);
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#length = head.length;
    this.#windowAt = clock.monotonic();
    this.#body = new AnswerBody(this);
    const settle = this.#settle;
    this.#settle = undefined;
    const { headers, complete } = head;
    settle?.resolve({ status, headers, body: this.#body, complete });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const body = this.#body;
    if (body === undefined || this.#over !== undefined) return;
    this.#bytes += chunk.length;
    if (this.#length !== undefined && this.#bytes > this.#length) throw this.#cut('longer');
    this.#checkRate(chunk.length);
    if (!body.push(chunk)) {
      this.#pausedAt = this.#context.clock.monotonic();
      controller.pause();
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: unknown): void {
    if (this.#over !== undefined) return;
    if (this.#length !== undefined && this.#bytes !== this.#length) {
      this.#fail(this.#cut('shorter'));
      return;
    }
    this.#finish(true);
    this.#options.ended?.((trailers ?? {}) as Trailers);
    this.#body?.push(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    // What the sender of the request body suffers is no fault of the origin.
    const { body } = this.#options;
    const left = codeOf(error) === 'UND_ERR_ABORTED' && body?.destroyed === true;
    const own = left || (body !== undefined && error === body.errored);
    const { address } = this.#context;
    this.#fail(own ? givenUp(error) : translateHttpError(error, address, !this.#touched));
  }

  /** The consumer has room again. */
  resume(): void {
    if (this.#pausedAt === 0) return;
    // A slow reader is no slow origin: its pause does not count.
    this.#windowAt += this.#context.clock.monotonic() - this.#pausedAt;
    this.#pausedAt = 0;
    this.#controller?.resume();
  }

  /** The consumer wants no more. */
  abandon(): void {
    if (this.#over !== undefined) return;
    const error = givenUp(undefined);
    this.#finish(error);
    this.#options.ended?.(undefined);
    this.#controller?.abort(error);
  }

  #fail(error: ProxyError): void {
    if (this.#over !== undefined) return;
    this.#finish(error);
    this.#options.ended?.(undefined);
    this.#options.body?.destroy();
    if (error.kind !== 'aborted') this.#context.failed(error);
    this.#controller?.abort(error);
    const settle = this.#settle;
    this.#settle = undefined;
    if (settle !== undefined) settle.reject(error);
    else this.#body?.destroy(error);
  }

  #finish(how: ProxyError | true): void {
    this.#over = how;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#onAbort !== undefined) {
      this.#options.signal?.removeEventListener('abort', this.#onAbort);
    }
  }

  #cut(how: 'longer' | 'shorter'): ProxyError {
    const message = `${this.#context.address}: the body is ${how} than announced`;
    return new ProxyError('upstream', 'http-client.send', message);
  }

  #checkRate(bytes: number): void {
    const { clock, minRate, minRateWindowMs, address } = this.#context;
    if (minRate === 0) return;
    this.#windowBytes += bytes;
    const now = clock.monotonic();
    const spent = now - this.#windowAt;
    if (spent < minRateWindowMs) return;
    if ((this.#windowBytes * 1000) / spent < minRate) {
      const message = `${address}: the body arrives slower than ${minRate} bytes per second`;
      throw new ProxyError('timeout', 'http-client.send', message);
    }
    this.#windowAt = now;
    this.#windowBytes = 0;
  }
}

/** The body of one answer. */
class AnswerBody extends Readable {
  readonly #exchange: HttpExchange;
  #read = false;

  constructor(exchange: HttpExchange) {
    super({ highWaterMark: BODY_BUFFER_BYTES });
    this.#exchange = exchange;
    // A failure may come before the caller could listen; `pipeline` and iteration find it later all the same.
    this.on('error', nothing);
  }

  override _read(): void {
    this.#read = true;
    this.#exchange.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#exchange.abandon();
    if (this.#read) callback(error);
    else setImmediate(callback, error);
  }
}
