import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transform } from 'node:stream';
import { PEER_RESOURCE_PATH } from '../../src/fetchers/peer-protocol.ts';

/** A peer listener behind somebody who changes one bit of each body that is long enough. */
export class TamperingPeer implements AsyncDisposable {
  /** Offset of the byte that is changed. Absent: none is. */
  offset: number | undefined;
  readonly #server: Server;

  private constructor(target: string) {
    this.#server = createServer((req, res) => {
      const { method, headers, url } = req;
      const asked = httpRequest(target + url, { method, headers, agent: false });
      asked.on('information', ({ statusCode }) => {
        if (statusCode === 102) res.writeProcessing();
      });
      asked.on('error', () => res.destroy());
      asked.on('response', (answer) => {
        const changes = url === PEER_RESOURCE_PATH;
        res.writeHead(answer.statusCode ?? 500, answer.rawHeaders);
        answer.on('error', () => res.destroy());
        answer.on('end', () => res.addTrailers(answer.trailers as Record<string, string>));
        answer.pipe(flipped(changes ? this.offset : undefined)).pipe(res);
      });
      res.on('close', () => asked.destroy());
      asked.end();
    });
  }

  /** Starts one before the peer listener at this address. */
  static async start(target: string): Promise<TamperingPeer> {
    const peer = new TamperingPeer(target);
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve));
    return peer;
  }

  /** Such as `http://127.0.0.1:40001`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}

function flipped(offset: number | undefined): Transform {
  let at = 0;
  return new Transform({
    transform(piece: Buffer, _encoding, callback) {
      const index = offset === undefined ? -1 : offset - at;
      at += piece.length;
      if (index >= 0 && index < piece.length) piece.writeUInt8((piece[index] ?? 0) ^ 1, index);
      callback(null, piece);
    },
  });
}
