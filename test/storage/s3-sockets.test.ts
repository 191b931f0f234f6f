import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type Agent as HttpAgent,
  type IncomingMessage,
  get as overTcp,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, get as overTls } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { digestOf } from '../../src/storage/digest.ts';
import { LeanAgent, LeanTlsAgent } from '../../src/storage/s3-sockets.ts';
import { seededBytes } from '../support/seeded-bytes.ts';
import { tempFolder } from '../support/temp-folder.ts';

const SIZE = 3 * 1024 * 1024 + 7;
const BODIES = ['one', 'two', 'three'].map((name) => seededBytes(SIZE, name));

describe('connections to S3', () => {
  const listener = (request: IncomingMessage, answer: ServerResponse): void => {
    const [, kind, number] = (request.url ?? '').split('/');
    const body = BODIES[Number(number)] ?? Buffer.alloc(0);
    if (kind === 'sized') answer.setHeader('content-length', body.length);
    for (let from = 0; from < body.length; from += 300_000)
      answer.write(body.subarray(from, from + 300_000));
    answer.end();
  };

  async function listening(server: Server): Promise<AsyncDisposable & { port: number }> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return {
      port,
      [Symbol.asyncDispose]: async () => {
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  /** Reads bodies one after the other and keeps every chunk until all of them have come. */
  async function readAll(
    agent: HttpAgent,
    get: typeof overTcp,
    url: string,
  ): Promise<{ bodies: Buffer[]; sockets: number }> {
    const kept: Buffer[][] = [];
    const sockets = new Set<unknown>();
    for (const number of BODIES.keys()) {
      const [answer] = (await once(get(`${url}/${number}`, { agent }), 'response')) as [
        IncomingMessage,
      ];
      sockets.add(answer.socket);
      // Some of it comes while nobody reads.
      await new Promise((resolve) => setImmediate(resolve));
      kept.push((await answer.toArray()) as Buffer[]);
    }
    agent.destroy();
    return { bodies: kept.map((chunks) => Buffer.concat(chunks)), sockets: sockets.size };
  }

  for (const kind of ['sized', 'chunked'] as const) {
    it(`gives ${kind} bodies whole, with chunks that stay as they are, over one connection`, async () => {
      await using server = await listening(createServer(listener));
      const agent = new LeanAgent({ keepAlive: true });
      const url = `http://127.0.0.1:${server.port}/${kind}`;
      const { bodies, sockets } = await readAll(agent, overTcp, url);
      expect(bodies.map(digestOf)).to.eql(BODIES.map(digestOf));
      expect(sockets).to.equal(1);
    });

    it(`gives ${kind} bodies whole over TLS`, async () => {
      await using folder = await tempFolder();
      const asked = ['req', '-x509', '-newkey', 'ec', '-nodes', '-days', '2'];
      const names = [
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-subj',
        '/CN=test',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
      ];
      const out = ['-keyout', 'key', '-out', 'cert'];
      execFileSync('openssl', [...asked, ...names, ...out], { stdio: 'ignore', cwd: folder.path });
      const [key, cert] = ['key', 'cert'].map((name) => readFileSync(join(folder.path, name)));
      await using server = await listening(createTlsServer({ key, cert }, listener));
      const agent = new LeanTlsAgent({ keepAlive: true, ca: cert });
      const url = `https://127.0.0.1:${server.port}/${kind}`;
      const { bodies, sockets } = await readAll(agent, overTls, url);
      expect(bodies.map(digestOf)).to.eql(BODIES.map(digestOf));
      expect(sockets).to.equal(1);
    });
  }

  it('says that a connection is refused, and that one broke off', async () => {
    const server = createServer((_, response) => {
      response.writeHead(200, { 'content-length': SIZE });
      response.write('some');
      setImmediate(() => response.destroy());
    });
    await using open = await listening(server);
    const agent = new LeanAgent({ keepAlive: true });
    const [answer] = (await once(
      overTcp(`http://127.0.0.1:${open.port}/`, { agent }),
      'response',
    )) as [IncomingMessage];
    const broken = await answer.toArray().then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(broken).to.equal('ECONNRESET');
    const closed = createServer();
    const port = await listening(closed).then(async (one) => {
      await one[Symbol.asyncDispose]();
      return one.port;
    });
    const [error] = (await once(
      overTcp(`http://127.0.0.1:${port}/`, { agent }).on('response', () => undefined),
      'error',
    )) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ECONNREFUSED');
    agent.destroy();
  });
});
