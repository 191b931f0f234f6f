import { once } from 'node:events';
import { Agent, type Dispatcher } from 'undici';
import type { Body } from '../../src/body.ts';
import { HeaderList } from '../../src/headers.ts';

/** How a request is made. */
export interface AskOptions {
  /** Absent: GET. */
  readonly method?: string | undefined;
  readonly headers?: Readonly<Record<string, string | string[]>> | undefined;
  /** What is sent. Absent: no body. */
  readonly body?: string | Buffer | undefined;
  /** Ends the request, also while its body is read. */
  readonly signal?: AbortSignal | undefined;
}

/** An answer whose body has yet to be read or destroyed. */
export interface StreamedAnswer {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Body;
}

/** A whole answer. */
export interface Answer extends Omit<StreamedAnswer, 'body'> {
  readonly body: Buffer;
}

/** A body that broke off: what came before, and how it ended. */
export interface CutAnswer extends Answer {
  /** Absent: the body came to its proper end. */
  readonly error?: Error | undefined;
}

/**
 * A client that shows an answer as it was sent: exact bytes, raw fields, no redirect followed, no cache. A connection
 * is used again until the client is disposed of.
 */
export class HttpClient implements AsyncDisposable {
  readonly #agent: Agent;

  /** `connections`: at most so many to one origin. Absent: no bound. */
  constructor(options: { readonly connections?: number | undefined } = {}) {
    const limits = { headersTimeout: 120_000, bodyTimeout: 120_000, pipelining: 1 };
    this.#agent = new Agent({ ...limits, connections: options.connections ?? null });
  }

  /** Resolves when the head is there. Rejects when the connection fails before. */
  async stream(url: string, options: AskOptions = {}): Promise<StreamedAnswer> {
    const target = new URL(url);
    const { statusCode, headers, body } = await this.#agent.request({
      origin: target.origin,
      path: url.slice(url.indexOf(target.host) + target.host.length) || '/',
      method: (options.method ?? 'GET') as Dispatcher.HttpMethod,
      responseHeaders: 'raw',
      ...(options.headers && { headers: options.headers }),
      ...(options.body !== undefined && { body: options.body }),
      ...(options.signal && { signal: options.signal }),
    });
    // Whoever reads is told of an error; a body that is destroyed unread has nobody to tell.
    body.on('error', () => {});
    const raw = headers as unknown as (string | Buffer)[];
    return { status: statusCode, headers: HeaderList.fromRaw(raw), body };
  }

  /** Resolves when the body is whole. Rejects when it is not. */
  async get(url: string, options: AskOptions = {}): Promise<Answer> {
    const { error, ...answer } = await this.getCut(url, options);
    if (error !== undefined) throw error;
    return answer;
  }

  /** Resolves with what came, also when the body breaks off. Rejects when the connection fails before the head. */
  async getCut(url: string, options: AskOptions = {}): Promise<CutAnswer> {
    const { body, ...head } = await this.stream(url, options);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of body) chunks.push(chunk as Buffer);
      return { ...head, body: Buffer.concat(chunks) };
    } catch (error) {
      return { ...head, body: Buffer.concat(chunks), error: error as Error };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Reads a stream until at least so many bytes came and gives them; the rest stays to be read. Throws when it ends before. */
export async function readBytes(body: Body, size: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let got = 0;
  while (got < size) {
    const chunk = body.read() as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      got += chunk.length;
    } else if (body.readableEnded || body.destroyed) {
      throw new Error(`the body ended after ${got} of ${size} bytes`);
    } else {
      const heard = new AbortController();
      const { signal } = heard;
      const events = ['readable', 'end', 'close'].map((event) => once(body, event, { signal }));
      await Promise.race(events);
      heard.abort();
    }
  }
  return Buffer.concat(chunks);
}
