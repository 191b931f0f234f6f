import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What happens to connections through the proxy. What is absent does not. */
export interface Fault {
  /** Milliseconds that each piece waits, in both directions. */
  readonly delayMs?: number | undefined;
  /** Ends a connection in good order after so many bytes from the server. */
  readonly cutAfter?: number | undefined;
  /** Resets a connection after so many bytes from the server. */
  readonly resetAfter?: number | undefined;
  /** Passes nothing on after so many bytes from the server, and leaves the connection open. */
  readonly stallAfter?: number | undefined;
  /** True: nothing passes, in either direction, and connections stay as they are: a network that is cut. */
  readonly partition?: boolean | undefined;
  /** True: new connections are reset at once. */
  readonly refuse?: boolean | undefined;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** Bytes from the server that were passed on. */
  passed: number;
}

/** A TCP proxy before a loopback port that breaks what passes through it, as `fault` says at that moment. */
export class FaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: number;
  readonly #pairs = new Set<Pair>();
  #fault: Fault = {};
  #healed = Promise.withResolvers<void>();
  #opened = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      this.#join(client);
    });
  }

  /** Starts one on a free port of 127.0.0.1 before the port of an address such as `http://127.0.0.1:9000`. */
  static async start(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(Number(new URL(target).port));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    proxy.#server.once('error', reject);
    proxy.#server.listen(0, '127.0.0.1', resolve);
    await promise;
    return proxy;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Connections open now, and opened in all. */
  get connections(): { readonly open: number; readonly opened: number } {
    return { open: this.#pairs.size, opened: this.#opened };
  }

  /** From now on, also for open connections; what a partition or a stall held back goes on where that is over. */
  set fault(fault: Fault) {
    this.#fault = fault;
    this.#healed.resolve();
    this.#healed = Promise.withResolvers<void>();
  }

  get fault(): Fault {
    return this.#fault;
  }

  /** Resets every open connection. */
  resetAll(): void {
    for (const { client, server } of this.#pairs) {
      reset(client);
      reset(server);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.resetAll();
    this.fault = {};
    await closed;
  }

  #join(client: Socket): void {
    this.#opened++;
    if (this.#fault.refuse === true) {
      reset(client);
      return;
    }
    const server = connect({ port: this.#target, host: '127.0.0.1', allowHalfOpen: true });
    const pair: Pair = { client, server, passed: 0 };
    this.#pairs.add(pair);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.setNoDelay(true);
      // A reset on one side is passed on as a reset.
      socket.on('error', () => reset(other));
      socket.on('close', () => {
        this.#pairs.delete(pair);
        if (!other.writableEnded) other.destroy();
      });
    }
    void this.#pass(pair, client, server).catch(() => server.destroy());
    void this.#pass(pair, server, client).catch(() => client.destroy());
  }

  async #pass(pair: Pair, from: Socket, to: Socket): Promise<void> {
    for await (const chunk of from) {
      let piece = chunk as Buffer;
      if (this.#fault.delayMs !== undefined) await delay(this.#fault.delayMs);
      for (;;) {
        const left = from === pair.server ? this.#allowance(pair) : undefined;
        if (this.#fault.partition !== true && (left === undefined || left >= piece.length)) break;
        if (this.#fault.partition !== true && left !== undefined && left > 0) {
          pair.passed += left;
          await write(to, piece.subarray(0, left));
          piece = piece.subarray(left);
        }
        if (this.#fault.resetAfter !== undefined) return this.#reset(pair);
        if (this.#fault.cutAfter !== undefined) return void to.end();
        await this.#healed.promise;
      }
      if (from === pair.server) pair.passed += piece.length;
      await write(to, piece);
    }
    while (this.#fault.partition === true) await this.#healed.promise;
    to.end();
  }

  /** Bytes from the server that may still pass on this connection. Absent: any number. */
  #allowance(pair: Pair): number | undefined {
    const limit = this.#fault.cutAfter ?? this.#fault.resetAfter ?? this.#fault.stallAfter;
    return limit === undefined ? undefined : Math.max(0, limit - pair.passed);
  }

  #reset({ client, server }: Pair): void {
    reset(client);
    reset(server);
  }
}

function reset(socket: Socket): void {
  // libuv refuses a reset while the end is being sent, and the socket would then never be closed.
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

async function write(socket: Socket, bytes: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
