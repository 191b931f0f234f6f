import { once } from 'node:events';
import { rename, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  databases,
  HaltTimeoutError,
  info,
  isPrimary,
  lag,
  NotLiteFsError,
  type PrimaryState,
  position,
  primary,
  primaryChanges,
  waitForPosition,
} from '@caje/litefs';
import { expect } from 'chai';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

describe('the state of a LiteFS node', () => {
  let folder: TempFolder;
  let path: string;
  beforeEach(async () => {
    folder = await tempFolder();
    path = join(folder.path, 'a.db');
  });
  afterEach(() => folder[Symbol.asyncDispose]());

  it('is that of a primary where there is no LiteFS', async () => {
    expect([
      await isPrimary(path),
      await primary(path),
      await lag(path),
      await position(path),
    ]).to.deep.equal([true, undefined, 0, undefined]);
  });

  it('is read from the files beside the database', async () => {
    await writeFile(`${path}-pos`, '000000000000002a/96e65cf9227de3fe\n');
    await writeFile(join(folder.path, '.primary'), 'n1\n');
    await writeFile(join(folder.path, '.lag'), '+000000334\n');
    expect([await primary(path), await lag(path)]).to.deep.equal(['n1', 334]);
    expect(await position(path)).to.deep.equal({ txid: 42n, checksum: '96e65cf9227de3fe' });
    await writeFile(join(folder.path, '.lag'), '+2147483647\n');
    expect(await lag(path)).to.equal(undefined);
  });

  it('refuses files of another form', async () => {
    await writeFile(`${path}-pos`, 'ready');
    await writeFile(join(folder.path, '.lag'), '12');
    for (const read of [position, lag]) {
      expect(await read(path).catch((error: unknown) => error)).to.be.instanceOf(NotLiteFsError);
    }
  });

  it('is waited for until it has come so far or further, or for as long as is wanted', async () => {
    const at = (txid: number): string =>
      `${txid.toString(16).padStart(16, '0')}/96e65cf9227de3fe\n`;
    const come = async (txid: number): Promise<void> => {
      // At once, as LiteFS does: nobody sees half of it.
      await writeFile(`${path}-next`, at(txid));
      await rename(`${path}-next`, `${path}-pos`);
    };
    await come(7);
    expect((await waitForPosition(path, 5n)).txid).to.equal(7n);
    const waited = waitForPosition(path, 9n);
    await come(9);
    expect((await waited).txid).to.equal(9n);
    const late = await waitForPosition(path, 10n, { timeoutMs: 5 }).catch((e: unknown) => e);
    expect(late).to.be.instanceOf(HaltTimeoutError);
    const signal = AbortSignal.abort(new Error('enough'));
    expect(await waitForPosition(path, 10n, { signal }).catch(String)).to.equal('Error: enough');
  });
});

describe("LiteFS' API", () => {
  let server: Server;
  let url: string;
  let answers: Record<string, string>;
  let listeners: ServerResponse[];
  beforeEach(async () => {
    answers = {};
    listeners = [];
    server = createServer((request, response) => {
      const answer = answers[request.url ?? ''];
      if (request.url === '/events') {
        response.write(answer ?? '');
        listeners.push(response);
      } else if (answer === undefined) response.writeHead(404).end('not found');
      else response.end(answer);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });

  it('tells the primary and how far each database is', async () => {
    answers['/info'] = '{"isPrimary":false,"candidate":true,"primary":{"hostname":"n1"}}';
    answers['/debug/vars'] =
      '{"store":{"dbs":{"a.db":{"txid":"000000000000002a"},"b.db":{},"c.db":{"txid":"01","locks":{"reserved":"exclusive"}}}}}';
    expect(await info({ url })).to.deep.equal({
      isPrimary: false,
      candidate: true,
      primaryHostname: 'n1',
    });
    expect([...(await databases({ url }))]).to.deep.equal([
      ['a.db', { txid: 42n, isLocked: false }],
      ['c.db', { txid: 1n, isLocked: true }],
    ]);
  });

  it('is told from another server', async () => {
    answers['/info'] = '{"hello":1}';
    answers['/debug/vars'] = 'hello';
    for (const ask of [info, databases, (): Promise<unknown> => info({ url: `${url}/x/` })]) {
      expect(await ask({ url }).catch((error: unknown) => error)).to.be.instanceOf(NotLiteFsError);
    }
  });

  it('tells each change of the primary once, also after it was cut off', async () => {
    const line = (type: string, data: object): string => `${JSON.stringify({ type, data })}\n`;
    const own = line('init', { isPrimary: true, hostname: 'n1' });
    answers['/events'] = `${own}${line('tx', { txID: '1' })}`;
    const stop = new AbortController();
    const states: PrimaryState[] = [];
    for await (const state of primaryChanges('/nowhere/a.db', {
      url,
      signal: stop.signal,
      retryMs: 1,
    })) {
      states.push(state);
      if (states.length === 1) {
        // The same state after the cut is no change.
        answers['/events'] = `${own}${line('primaryChange', { isPrimary: false, hostname: 'n2' })}`;
        listeners[0]?.destroy();
      } else stop.abort();
    }
    expect(states).to.deep.equal([
      { isPrimary: true, hostname: 'n1' },
      { isPrimary: false, hostname: 'n2' },
    ]);
  });

  it('is replaced by the file .primary where it cannot be had', async () => {
    await using folder = await tempFolder();
    await writeFile(join(folder.path, '.primary'), 'n3\n');
    server.close();
    server.closeAllConnections();
    const stop = new AbortController();
    for await (const state of primaryChanges(join(folder.path, 'a.db'), {
      url,
      signal: stop.signal,
    })) {
      expect(state).to.deep.equal({ isPrimary: false, hostname: 'n3' });
      stop.abort();
    }
  });
});
