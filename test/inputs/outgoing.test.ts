import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { callControl } from '../../src/http/control-client.ts';
import { InputPlace, say } from './place.ts';

/** A server that nothing may ask. */
class Trap implements AsyncDisposable {
  hits = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((_, res) => {
      this.hits += 1;
      res.end('trapped');
    });
  }

  static async start(): Promise<Trap> {
    const trap = new Trap();
    await once(trap.#server.listen(0, '127.0.0.1'), 'listening');
    return trap;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((done) => this.#server.close(done));
  }
}

describe('what a node asks others, whatever it is told', () => {
  let place: InputPlace;
  let trap: Trap;

  before(async () => {
    trap = await Trap.start();
    place = await InputPlace.start({
      rules: [
        { name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
        { name: 'rfc', host: 'rfc.test', freshness: 'rfc' },
      ],
      config: ({ echoUrl }) => ({
        fetchers: {
          echo: { type: 'origin', url: echoUrl },
          raw: { type: 'origin', url: echoUrl },
          modules: { type: 'upstreams', list: echoUrl },
        },
      }),
    });
  });
  after(async () => {
    await place[Symbol.asyncDispose]();
    await trap[Symbol.asyncDispose]();
  });

  it('H-71: a redirect of an origin is handed on and never followed: 20 answers', async () => {
    const { address } = trap;
    const locations = [
      `http://${address}/x`,
      `//${address}/x`,
      `http://user@${address}/`,
      `HTTP://${address}/`,
    ];
    for (const [at, location] of locations.entries()) {
      for (const status of [301, 302, 303, 307, 308]) {
        const path = `/71/${at}/${status}`;
        place.scripts.set(path, (seen, res) =>
          say(res, seen, { Location: location, Refresh: `0; url=http://${address}/` }, status),
        );
        for (const host of ['a.test', 'rfc.test']) {
          const answer = await place.ask(path, { headers: { host } });
          expect([answer.status, answer.headers.get('Location')]).to.deep.equal([status, location]);
        }
      }
    }
    place.scripts.set('/a.test/m/@v/v1.0.0.mod', (seen, res) =>
      say(res, seen, { Location: `http://${address}/x` }, 302),
    );
    await place.ask('/go/a.test/m/@v/v1.0.0.mod');
    expect(trap.hits).to.equal(0);
  });

  it('H-74: populate takes modules, never addresses: 20 inputs', async () => {
    const { address } = trap;
    const socket = join(place.folder.path, 'data', 'control.sock');
    const names = [
      ...[
        `http://${address}/m`,
        `//${address}/m`,
        `${address}/m`,
        `user@${address}/m`,
        `../${address}/m`,
      ],
      ...[
        `${address}`,
        `http:/${address}/m`,
        `a.test/../../${address}`,
        `a.test/m?${address}`,
        `a.test/m#${address}`,
      ],
    ];
    const inputs = names.flatMap((module) => [
      { module, version: 'v1.0.0' },
      { module: 'a.test/m', version: `v1.0.0/../../${module}` },
    ]);
    const before = place.seen.length;
    for (const { module, version } of inputs) {
      const modules = [{ module, version, files: ['mod'] }];
      const outcome = await callControl(socket, 'populate', { modules, sumdb: false }).then(
        (rows) => (rows as { readonly outcome: string }[]).map((row) => row.outcome),
        (error: { readonly kind?: string }) => error.kind,
      );
      expect([['failed'], 'invalid'], `${module}@${version}`).to.deep.include(outcome);
    }
    expect(trap.hits).to.equal(0);
    expect(place.seen.length).to.equal(before);
  });
});
