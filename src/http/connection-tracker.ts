import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** One connection of a server, as its tracker knows it. */
export interface Connection {
  readonly socket: Socket;
  /** Answers not yet handed to the operating system. */
  readonly open: Set<ServerResponse>;
  /** True: nothing that still arrives on it is answered. */
  doomed: boolean;
  /** Bytes to send, then close, when the answers before them are out. */
  last?: string | undefined;
}

/**
 * Knows every connection of a server and which answers are on their way, so that a stop cuts only what is idle
 * (node:http's own `close` waits for silent connections and cuts answers that are not flushed).
 */
export class ConnectionTracker {
  readonly #connections = new Map<Socket, Connection>();
  #draining = false;
  #emptied: (() => void) | undefined;

  /** `event`: the one that the server gives each connection with on which requests come. */
  constructor(server: Server, event: 'connection' | 'secureConnection' = 'connection') {
    server.on(event, (socket: Socket) => {
      this.#connections.set(socket, { socket, open: new Set(), doomed: false });
      socket.once('close', () => {
        this.#connections.delete(socket);
        if (this.#connections.size === 0) this.#emptied?.();
      });
    });
  }

  /** Connections that are open now. */
  get size(): number {
    return this.#connections.size;
  }

  /** Answers that are not out yet. */
  get open(): number {
    let sum = 0;
    for (const { open } of this.#connections.values()) sum += open.size;
    return sum;
  }

  /** False: the connection has had its last answer begun, so nothing more on it matters. */
  takes(socket: Socket): boolean {
    return this.#connections.get(socket)?.doomed === false;
  }

  /** The connection of a request. Absent: it takes no more requests, so this one must not run. */
  begin(req: IncomingMessage, res: ServerResponse): Connection | undefined {
    const connection = this.#connections.get(req.socket);
    if (connection === undefined || connection.doomed) return undefined;
    connection.open.add(res);
    if (this.#draining) res.shouldKeepAlive = false;
    return connection;
  }

  /** Called once for each answer begun, when it is out or its connection is gone. */
  end(connection: Connection, res: ServerResponse): void {
    const { open, last, doomed, socket } = connection;
    open.delete(res);
    if (open.size > 0) return;
    if (last !== undefined) socket.end(last);
    if (doomed || this.#draining) socket.destroySoon();
  }

  /** Nothing behind the request being answered will run, and the connection ends with that answer. */
  doom(socket: Socket, res?: ServerResponse): void {
    const connection = this.#connections.get(socket);
    if (connection !== undefined) connection.doomed = true;
    if (res !== undefined) res.shouldKeepAlive = false;
  }

  /**
   * Ends a connection with a message written by hand, behind the answers that are on their way. An answer to a request
   * whose own body broke is given up; where its fields are out already the connection is cut.
   */
  finish(socket: Socket, message: string): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined || connection.doomed) return;
    connection.doomed = true;
    const unfinished = [...connection.open].find((res) => !res.req.complete);
    if (unfinished?.headersSent === true) {
      socket.destroy();
      return;
    }
    const waits = [...connection.open].some((res) => res !== unfinished);
    if (waits) {
      connection.last = message;
      if (unfinished !== undefined) connection.open.delete(unfinished);
      return;
    }
    if (socket.writable) socket.end(message);
    socket.destroySoon();
  }

  /** From now on every answer closes its connection. */
  drain(): void {
    this.#draining = true;
    for (const { open } of this.#connections.values())
      for (const res of open) if (!res.headersSent) res.shouldKeepAlive = false;
  }

  /** Closes the connections that have no answer on its way: silent, kept-alive, half-sent ones. */
  cutIdle(): void {
    for (const [socket, { open }] of this.#connections) if (open.size === 0) socket.destroySoon();
  }

  /** Closes all. Gives how many answers it cut. */
  cutAll(): number {
    const cut = this.open;
    for (const socket of this.#connections.keys()) socket.destroy();
    return cut;
  }

  /** Resolves when the last connection is gone. */
  empty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#emptied = resolve;
    return promise;
  }
}
