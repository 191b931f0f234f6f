import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** Longest wait for one answer. */
const ANSWER_MS = 600_000;
const READ_BYTES = 1024 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');

/** Host that every request names, whatever server it goes to, so that all of them know a thing by the same key. */
export const HOST = 'bench.example';

/** One answer, and when its parts came in milliseconds after the request was written. */
export interface Answer {
  readonly status: number;
  /** Status line and fields. */
  readonly head: string;
  readonly bytes: number;
  /** Until the first byte of the body. */
  readonly firstByteMs: number;
  readonly lastByteMs: number;
}

/** Sees each piece of a body and its offset, before the next is read. The piece is valid only during the call. */
export type Watch = (piece: Buffer, offset: number, socket: Socket) => void;

interface Running {
  readonly startedAt: number;
  readonly done: PromiseWithResolvers<Answer>;
  readonly watch: Watch | undefined;
  head: string;
  left: number;
  bytes: number;
  firstByteMs: number;
  pieces: Buffer[];
}

/**
 * One connection that is kept between requests and costs as little as Node allows, so that the client is not what is
 * measured. Bodies must have a Content-Length.
 */
export class KeepAliveClient {
  // Bytes are looked at during the callback alone, so all connections share what they are read into.
  static readonly #buffer = Buffer.alloc(READ_BYTES);
  readonly #socket: Socket;
  #running: Running | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer in ${ANSWER_MS} ms`)));
    socket.on('error', (error) => this.#running?.done.reject(error));
    socket.on('close', () => this.#running?.done.reject(new Error('connection closed')));
  }

  /** Connects to the server of a URL. */
  static async connect(url: string): Promise<KeepAliveClient> {
    const { hostname, port } = new URL(url);
    let client: KeepAliveClient | undefined;
    const socket = connect({
      host: hostname,
      port: Number(port),
      onread: {
        buffer: KeepAliveClient.#buffer,
        callback: (size, buffer) => {
          if (client) client.#take(Buffer.from(buffer.buffer, buffer.byteOffset, size));
          return true;
        },
      },
    });
    client = new KeepAliveClient(socket);
    await once(socket, 'connect');
    return client;
  }

  /** Asks for a path and reads the whole answer. Throws when the connection breaks. */
  async get(path: string, watch?: Watch): Promise<Answer> {
    if (this.#running) throw new Error('one request at a time');
    const running: Running = {
      startedAt: performance.now(),
      done: Promise.withResolvers<Answer>(),
      watch,
      head: '',
      left: 0,
      bytes: 0,
      firstByteMs: 0,
      pieces: [],
    };
    this.#running = running;
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    return await running.done.promise;
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy();
  }

  #take(piece: Buffer): void {
    const running = this.#running;
    if (running === undefined) return;
    let body = piece;
    if (running.head === '') {
      const rest = this.#readHead(running, piece);
      if (rest === undefined) return;
      body = rest;
    }
    if (body.length > 0) {
      if (running.bytes === 0) running.firstByteMs = performance.now() - running.startedAt;
      running.watch?.(body, running.bytes, this.#socket);
      running.bytes += body.length;
      running.left -= body.length;
    }
    if (running.left < 0) running.done.reject(new Error('more bytes than Content-Length says'));
    if (running.left > 0) return;
    this.#running = undefined;
    const { head, bytes, firstByteMs, startedAt } = running;
    const status = Number(head.slice(9, 12));
    const lastByteMs = performance.now() - startedAt;
    running.done.resolve({ status, head, bytes, firstByteMs, lastByteMs });
  }

  /** What follows the head; undefined: it is not yet whole. */
  #readHead(running: Running, piece: Buffer): Buffer | undefined {
    const whole = running.pieces.length === 0 ? piece : Buffer.concat([...running.pieces, piece]);
    const end = whole.indexOf(HEAD_END);
    if (end < 0) {
      running.pieces = [Buffer.from(whole)];
      return undefined;
    }
    running.head = whole.toString('latin1', 0, end);
    const length = /^content-length: *(\d+)/im.exec(running.head)?.[1];
    if (length === undefined) {
      running.done.reject(new Error(`an answer without Content-Length:\n${running.head}`));
      return undefined;
    }
    running.left = Number(length);
    return whole.subarray(end + HEAD_END.length);
  }
}

/** Asks once over a connection of its own. Throws when the answer is not 200. */
export async function getOnce(url: string, path: string, watch?: Watch): Promise<Answer> {
  const client = await KeepAliveClient.connect(url);
  try {
    return expectOk(await client.get(path, watch), path);
  } finally {
    client.close();
  }
}

/** The answer. Throws when it is not 200. */
export function expectOk(answer: Answer, path: string): Answer {
  if (answer.status !== 200) throw new Error(`${path} was answered with:\n${answer.head}`);
  return answer;
}
