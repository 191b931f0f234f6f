import { join } from 'node:path';
import { SoakSite } from '../soak/soak-site.ts';
import { filesBelow } from './audit-store.ts';
import { S3Proxy } from './s3-proxy.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

/** What differs from the usual. */
export interface S3SiteOptions {
  readonly seed: number;
  /** Options of the storage beside where it is. */
  readonly storage?: Readonly<Record<string, unknown>> | undefined;
  /** Other keys of the configuration. */
  readonly config?: Readonly<Record<string, unknown>> | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A server other than one of its own, which it then leaves running. */
  readonly server?: S3Server | undefined;
}

/** A site whose node keeps bodies in a bucket, behind a proxy that breaks calls. Nothing is kept in memory. */
export class S3Site implements AsyncDisposable {
  readonly server: S3Server;
  readonly proxy: S3Proxy;
  readonly site: SoakSite;
  readonly bucket: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: { server: S3Server; proxy: S3Proxy; site: SoakSite; bucket: string },
    stack: AsyncDisposableStack,
  ) {
    this.server = parts.server;
    this.proxy = parts.proxy;
    this.site = parts.site;
    this.bucket = parts.bucket;
    this.#stack = stack;
  }

  static async start(options: S3SiteOptions): Promise<S3Site> {
    await using stack = new AsyncDisposableStack();
    const server = options.server ?? stack.use(await startS3Server());
    const bucket = await server.createBucket();
    const proxy = stack.use(await S3Proxy.start(server.endpoint));
    const { region, accessKeyId, secretAccessKey } = server;
    const local = {
      ...{ type: 's3', endpoint: proxy.url, region, bucket, forcePathStyle: true },
      credentials: { accessKeyId, secretAccessKey },
      ...options.storage,
    };
    const config = { storage: { local }, memory: { bodies: 0 }, ...options.config };
    const { seed, env } = options;
    const site = stack.use(await SoakSite.start({ seed, config, env }));
    return new S3Site({ server, proxy, site, bucket }, stack.move());
  }

  /** Keys of everything that lies in the bucket but notes of rows, also what uploads have sent so far. */
  async files(): Promise<string[]> {
    const all = [...(await filesBelow(join(this.server.dataFolder, this.bucket)))];
    return all.filter((file) => !file.startsWith('rows/'));
  }

  /** Resolves once a key is answered from the store. Throws when it is not in 20 s. */
  async kept(key: string, size: number): Promise<void> {
    const end = performance.now() + 20_000;
    for (;;) {
      const { cache } = await this.site.whole(key, size);
      if (cache === 'HIT') return;
      if (performance.now() > end) throw new Error(`${key} is never kept: ${cache}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
