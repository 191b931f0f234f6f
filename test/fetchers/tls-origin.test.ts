import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { OriginFetcher } from '../../src/fetchers/origin-fetcher.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { ask, base, failure, readText } from './requests.ts';

describe('OriginFetcher over TLS (H-77)', () => {
  let folder: TempFolder;
  let server: Server;
  let url: string;
  let ca: string;
  let expired: { key: string; cert: string };
  const requests: string[] = [];

  const openssl = (...words: readonly string[]): void => {
    execFileSync('openssl', words, { stdio: 'ignore', cwd: folder.path });
  };
  /** A key and a certificate for localhost that nobody else signed. */
  const certificate = (name: string, days: number): { key: string; cert: string } => {
    const [key, asked, cert] = [`${name}.key`, `${name}.csr`, `${name}.crt`] as const;
    const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=DNS:localhost'];
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', asked, ...subject);
    const signing = ['-signkey', key, '-days', String(days), '-copy_extensions', 'copy'];
    openssl('x509', '-req', '-in', asked, ...signing, '-out', cert);
    const text = (file: string): string => readFileSync(join(folder.path, file), 'utf8');
    return { key: text(key), cert: text(cert) };
  };

  before(async function () {
    this.timeout(20_000);
    folder = await tempFolder();
    const own = certificate('own', 2);
    expired = certificate('expired', -1);
    ca = own.cert + expired.cert;
    server = createServer(own, (request, response) => {
      requests.push(String(request.headers.host));
      response.end('ok');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `https://localhost:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    server.closeAllConnections();
    server.close();
    await folder[Symbol.asyncDispose]();
  });

  const using = async <T>(
    options: { url?: string; ca?: string; connectMs?: number },
    run: (fetcher: OriginFetcher) => Promise<T>,
  ): Promise<T> => {
    await using fetcher = new OriginFetcher({
      ...base(),
      url: new URL(options.url ?? url),
      ca: options.ca,
      limits: { connectMs: options.connectMs ?? 5_000 },
    });
    return await run(fetcher);
  };

  it('trusts the authority that `ca` names', async () => {
    await using({ ca }, async (fetcher) => {
      expect(await readText(await fetcher.fetch(ask('/x')))).to.deep.equal([200, 'ok']);
    });
  });

  it('refuses a certificate that nobody vouches for, and sends nothing', async () => {
    const before = requests.length;
    const { message } = await using(
      {},
      async (fetcher) => await failure(fetcher.fetch(ask('/x')), 'upstream'),
    );
    expect(message).to.match(/^localhost:\d+: TLS failed: self-signed/);
    expect(requests.length).to.equal(before);
  });

  it('refuses a certificate for another name', async () => {
    const other = url.replace('localhost', '127.0.0.1');
    const { message } = await using(
      { url: other, ca },
      async (fetcher) => await failure(fetcher.fetch(ask('/x')), 'upstream'),
    );
    expect(message).to.contain('TLS failed');
  });

  it('checks the configured name, not a Host that is preserved', async () => {
    await using({ ca }, async (fetcher) => {
      const fetched = await fetcher.fetch(ask('/x', [], { host: 'other.example' }));
      expect(await readText(fetched)).to.deep.equal([200, 'ok']);
    });
    expect(requests.at(-1)).to.equal('other.example');
    const other = url.replace('localhost', '127.0.0.1');
    await using({ url: other, ca }, async (fetcher) => {
      await failure(fetcher.fetch(ask('/x', [], { host: 'localhost' })), 'upstream');
    });
  });

  it('refuses an expired certificate', async () => {
    const late = createServer(expired, (_, response) => response.end('ok'));
    await new Promise<void>((resolve) => late.listen(0, '127.0.0.1', resolve));
    const address = `https://localhost:${(late.address() as AddressInfo).port}`;
    const { message } = await using(
      { url: address, ca },
      async (fetcher) => await failure(fetcher.fetch(ask('/x')), 'upstream'),
    );
    late.close();
    expect(message).to.contain('expired');
  });

  it('fails as timeout when the handshake stalls', async () => {
    const silent = createTcpServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    await using(
      { url: address, connectMs: 100 },
      async (fetcher) => await failure(fetcher.fetch(ask('/x')), 'timeout'),
    );
    silent.close();
  });

  it('fails as upstream when the other side speaks no TLS', async () => {
    const plain = createTcpServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const address = `https://127.0.0.1:${(plain.address() as AddressInfo).port}`;
    const { message } = await using(
      { url: address },
      async (fetcher) => await failure(fetcher.fetch(ask('/x')), 'upstream'),
    );
    plain.close();
    expect(message).to.not.contain('\n');
  });
});
