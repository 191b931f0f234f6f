import { expect } from 'chai';
import { readGoproxyPath } from '../../src/gomod/goproxy-path.ts';
import { goZip } from '../support/go-zip.ts';
import type { Answer } from '../support/http-client.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { Site, type SiteOptions } from './site.ts';

/** What a Go rule says beside what every one here does. */
export type GoRule = Readonly<Record<string, unknown>>;

export const GO_SUMDB = 'sums.example.org';

/** Serves modules below `/go/` from the fetcher `upstream`. */
export const GO_RULE: GoRule = {
  ...{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'upstream' },
  sumdb: [{ name: GO_SUMDB }],
};

/** A site with one Go rule below `/go/` whose upstream is the origin: a registry double. */
export async function startGoSite(rule: GoRule = {}, options: SiteOptions = {}): Promise<Site> {
  return await Site.start({
    ...options,
    rules: [
      {
        ...GO_RULE,
        ...rule,
      },
      ...(options.rules ?? []),
    ],
    fetchers: (url) => ({
      upstream: { type: 'upstreams', list: url },
      ...(typeof options.fetchers === 'function' ? options.fetchers(url) : options.fetchers),
    }),
  });
}

/** Paths that the upstream was asked for, of those that hold `part`. */
export function askedFor(site: Site, part: string): string[] {
  return site.origin.seen.map(({ key }) => key).filter((key) => key.includes(part));
}

/** The answers of many clients that ask for the same below `/go` at once, each 200. */
export async function crowd(site: Site, size: number, path: string): Promise<Answer[]> {
  const clients = Array.from({ length: size }, async () => await site.get(`/go${path}`));
  const answers = await Promise.all(clients);
  for (const { status } of answers) expect(status, path).to.equal(200);
  return answers;
}

/** A zip as the go command takes it, for a path that ends in `.zip`, with `size` bytes in a file. */
export function zipFor(path: string, size = 1000): Buffer {
  const read = readGoproxyPath(path.slice(1));
  if (!('version' in read)) throw new Error(`${path} is no path of a zip`);
  const { module, version } = read;
  const files = { 'go.mod': `module ${module}\n`, 'data.bin': seededBytes(size, path) };
  return goZip(module, version, files);
}
