import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { request } from 'undici';
import { seededBytes } from './seeded-bytes.ts';

/** Clients at once. */
const CLIENTS = 20;
/** Every so often a body of more than one block. */
const LARGE_EVERY = 25;
const LARGE = 2_500_000;
/** More than one part of an upload. */
const HUGE = 9_000_000;

/** An origin whose pages `/0`, `/1`, … stay fresh for a day, and what is known of each; counts what it is asked. */
export class HouseSite implements AsyncDisposable {
  /** Paths that it was asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<HouseSite> {
    const server = createServer((req, res) => {
      const path = req.url ?? '';
      site.asked.push(path);
      const body = bodyOf(path);
      res.writeHead(200, {
        'Cache-Control': 'max-age=86400',
        'Content-Type': 'text/plain',
        'Content-Length': body.length,
      });
      res.end(body);
    });
    const site = new HouseSite(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return site;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What a node says to serve it as rule `site`, its bodies in one of these storages. */
  config(
    backend: string,
    storage: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, unknown>> {
    return {
      storage,
      stashers: { keep: { type: 'store', backend } },
      fetchers: { site: { type: 'origin', url: this.url } },
      rules: [{ name: 'site', protocol: 'http', fetch: 'site', stash: 'keep' }],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The body of a page of the site; those below `/huge/` have several parts. */
export function bodyOf(path: string): Buffer {
  if (path.startsWith('/huge/')) return seededBytes(HUGE, path);
  const at = Number(path.slice(1));
  const size = at % LARGE_EVERY === LARGE_EVERY - 1 ? LARGE : (at * 7_919) % 200_000;
  return seededBytes(size, path);
}

/** Asks a node for pages `from` to `from + count`, 20 at a time, and compares each with what the site has. */
export async function readPages(url: string, count: number, from = 0): Promise<void> {
  let next = from;
  const client = async (): Promise<void> => {
    for (let at = next++; at < from + count; at = next++) {
      const { statusCode, body } = await request(`${url}/${at}`, { headers: { host: 'a.test' } });
      const bytes = Buffer.from(await body.arrayBuffer());
      expect(statusCode).to.equal(200);
      expect(bytes.equals(bodyOf(`/${at}`)), `page ${at}`).to.equal(true);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}
