import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { request } from 'undici';
import { goZip } from './go-zip.ts';
import { bodyOf, HouseSite } from './house-site.ts';
import { seededBytes } from './seeded-bytes.ts';

const MODULE = 'm.example/mod';
const VERSION = 'v1.2.3';
const FILES = {
  'go.mod': `module ${MODULE}\n`,
  'data.bin': seededBytes(300_000, 'module'),
};

/** What a Go client asks for of one version, and what it gets. */
export const ARTEFACTS: Readonly<Record<string, Buffer>> = {
  [`/${MODULE}/@v/${VERSION}.info`]: Buffer.from(
    `{"Version":"${VERSION}","Time":"2024-05-06T07:08:09Z"}`,
  ),
  [`/${MODULE}/@v/${VERSION}.mod`]: Buffer.from(FILES['go.mod']),
  [`/${MODULE}/@v/${VERSION}.zip`]: goZip(MODULE, VERSION, FILES),
};

/** Pages and a Go module, and a node's configuration to serve both. */
export class ReindexPlace implements AsyncDisposable {
  readonly #pages: HouseSite;
  readonly #modules: Server;

  private constructor(pages: HouseSite, modules: Server) {
    this.#pages = pages;
    this.#modules = modules;
  }

  static async start(): Promise<ReindexPlace> {
    const modules = createServer((req, res) => {
      const body = ARTEFACTS[req.url ?? ''];
      res.writeHead(body === undefined ? 404 : 200).end(body);
    });
    await new Promise<void>((resolve) => modules.listen(0, '127.0.0.1', resolve));
    return new ReindexPlace(await HouseSite.start(), modules);
  }

  /** Bodies of both rules go to `backend`; what is kept of pages stands in for an origin that fails. */
  config(
    backend: string,
    storage: Readonly<Record<string, unknown>>,
  ): Readonly<Record<string, unknown>> {
    const url = `http://127.0.0.1:${(this.#modules.address() as AddressInfo).port}`;
    return {
      storage,
      // Else what nobody names goes only after an hour.
      gc: { orphanGrace: '0s' },
      stashers: { keep: { type: 'store', backend } },
      fetchers: {
        site: { type: 'origin', url: this.#pages.url },
        modules: { type: 'upstreams', list: url },
      },
      rules: [
        {
          ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' },
          ...{ stash: 'keep', sumdb: [] },
        },
        { name: 'site', protocol: 'http', fetch: 'site', stash: 'keep', network: 'fallback' },
      ],
    };
  }

  /** From now on nothing answers but what is kept. */
  async leave(): Promise<void> {
    await this.#pages[Symbol.asyncDispose]();
    this.#modules.closeAllConnections();
    await new Promise((resolve) => this.#modules.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }
}

/** Asks for pages, gives their statuses by number; each 200 is compared with what the site has and has one of these results. */
export async function pagesOf(
  url: string,
  pages: readonly number[],
  ...results: readonly string[]
): Promise<Record<number, number>> {
  const statuses: Record<number, number> = {};
  const ask = async (page: number): Promise<void> => {
    const { statusCode, headers, body } = await request(`${url}/${page}`, {
      headers: { host: 'a.test' },
    });
    const bytes = Buffer.from(await body.arrayBuffer());
    statuses[page] = statusCode;
    if (statusCode !== 200) return;
    expect(bytes.equals(bodyOf(`/${page}`)), `page ${page}`).to.equal(true);
    expect(headers['x-cache'], `page ${page}`).to.be.oneOf([...results]);
  };
  await Promise.all(pages.map(ask));
  return statuses;
}

/** Asks for each file of the module and compares it, byte by byte. */
export async function expectArtefacts(url: string, result: string): Promise<void> {
  for (const [path, expected] of Object.entries(ARTEFACTS)) {
    const { statusCode, headers, body } = await request(`${url}/go${path}`);
    const bytes = Buffer.from(await body.arrayBuffer());
    expect(statusCode, path).to.equal(200);
    expect(bytes.equals(expected), path).to.equal(true);
    expect(headers['x-cache'], path).to.equal(result);
  }
}
