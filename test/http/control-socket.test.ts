import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { ProxyError } from '../../src/errors.ts';
import { callControl, streamControl } from '../../src/http/control-client.ts';
import type { ControlHandler } from '../../src/http/control-socket.ts';
import { openControlSocket } from '../../src/http/control-socket.ts';
import { silentLogger } from '../../src/log.ts';
import { tempFolder } from '../support/temp-folder.ts';

type Handlers = Readonly<Record<string, ControlHandler>>;

async function withSocket(handlers: Handlers, use: (path: string) => Promise<void>): Promise<void> {
  await using folder = await tempFolder();
  const path = join(folder.path, 'control.sock');
  await using _socket = await openControlSocket({ path, handlers, log: silentLogger });
  await use(path);
}

async function failureOf(promise: Promise<unknown>): Promise<ProxyError> {
  const failure: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).to.be.instanceOf(ProxyError);
  return failure as ProxyError;
}

describe('the control socket', () => {
  it('carries JSON to a handler and back', async () => {
    await withSocket(
      { echo: (input) => ({ got: input }), nothing: () => undefined },
      async (path) => {
        expect(await callControl(path, 'echo', { a: [1, 'ü'] })).to.deep.equal({
          got: { a: [1, 'ü'] },
        });
        expect(await callControl(path, 'echo')).to.deep.equal({ got: null });
        expect(await callControl(path, 'nothing')).to.equal(null);
      },
    );
  });

  it('belongs to its owner alone, and goes away with the node', async () => {
    let path = '';
    await withSocket({}, async (open) => {
      path = open;
      expect((await stat(open)).mode & 0o777).to.equal(0o600);
    });
    expect(await stat(path).catch(() => 'gone')).to.equal('gone');
  });

  it('shows items as they come', async () => {
    const next = Promise.withResolvers<void>();
    const count: ControlHandler = async function* () {
      yield { done: 1 };
      await next.promise;
      yield { done: 2 };
    };
    await withSocket({ count }, async (path) => {
      const seen: unknown[] = [];
      for await (const item of streamControl(path, 'count')) {
        seen.push(item);
        next.resolve();
      }
      expect(seen).to.deep.equal([{ done: 1 }, { done: 2 }]);
      expect(await callControl(path, 'count')).to.deep.equal([{ done: 1 }, { done: 2 }]);
    });
  });

  it('gives the failure of a handler by its kind, also in the middle of items', async () => {
    const half: ControlHandler = async function* () {
      yield 1;
      throw new ProxyError('unavailable', 'test', 'store gone');
    };
    const fail = (): never => {
      throw new ProxyError('forbidden', 'test', 'not this one');
    };
    const crash = (): never => {
      throw new TypeError('inner');
    };
    await withSocket({ half, fail, crash }, async (path) => {
      expect(await failureOf(callControl(path, 'fail'))).to.include({
        kind: 'forbidden',
        message: 'not this one',
      });
      expect(await failureOf(callControl(path, 'half'))).to.include({
        kind: 'unavailable',
        message: 'store gone',
      });
      expect((await failureOf(callControl(path, 'crash'))).message).not.to.match(/inner/);
    });
  });

  it('says that it does not know a name', async () => {
    await withSocket({ known: () => 1 }, async (path) => {
      for (const name of ['other', 'toString', '__proto__', '']) {
        expect((await failureOf(callControl(path, name))).kind).to.equal('not-found');
      }
    });
  });

  it('aborts a handler whose caller leaves', async () => {
    const aborted = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const wait: ControlHandler = async (_input, { signal }) => {
      signal?.addEventListener('abort', () => aborted.resolve());
      begun.resolve();
      await aborted.promise;
    };
    await withSocket({ wait }, async (path) => {
      const leaving = new AbortController();
      const call = callControl(path, 'wait', {}, { signal: leaving.signal }).catch(
        (error: unknown) => error,
      );
      await begun.promise;
      leaving.abort();
      await aborted.promise;
      expect(await call).to.have.property('name', 'AbortError');
    });
  });

  it('refuses inputs beyond a megabyte', async () => {
    await withSocket({ echo: (input) => input }, async (path) => {
      const failure = await failureOf(callControl(path, 'echo', 'x'.repeat(1024 * 1024 + 1)));
      expect(['too-large', 'unavailable']).to.include(failure.kind);
    });
  });

  it('says that no node runs there', async () => {
    await using folder = await tempFolder();
    const failure = await failureOf(callControl(join(folder.path, 'control.sock'), 'ls'));
    expect(failure.kind).to.equal('unavailable');
    expect(failure.message).to.match(/no node runs/);
  });

  it('refuses to take over from a live node', async () => {
    await withSocket({ who: () => 'first' }, async (path) => {
      const failure = await failureOf(openControlSocket({ path, handlers: {}, log: silentLogger }));
      expect(failure.kind).to.equal('conflict');
      expect(failure.message).to.match(/another caje runs/);
      expect(failure.message).to.include(`process ${process.pid} answers`);
      expect(await callControl(path, 'who')).to.equal('first');
    });
  });

  it('replaces the socket of a dead process', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'control.sock');
    const script = `require('node:net').createServer().listen(process.argv[1], () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', script, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await stat(path)).isSocket()).to.equal(true);
    await using _socket = await openControlSocket({
      path,
      handlers: { who: () => 'new' },
      log: silentLogger,
    });
    expect(await callControl(path, 'who')).to.equal('new');
  });

  it('says what is wrong with a path that cannot be a socket', async () => {
    await using folder = await tempFolder();
    const long = join(folder.path, 'x'.repeat(120), 'control.sock');
    expect(
      (await failureOf(openControlSocket({ path: long, handlers: {}, log: silentLogger }))).message,
    ).to.match(/shorter data folder/);
    const missing = join(folder.path, 'missing', 'control.sock');
    expect(
      (await failureOf(openControlSocket({ path: missing, handlers: {}, log: silentLogger }))).kind,
    ).to.equal('unavailable');
  });

  it('notices a node that breaks off', async () => {
    await using folder = await tempFolder();
    const path = join(folder.path, 'control.sock');
    await writeFile(join(folder.path, 'note'), '');
    const server = createServer((socket) =>
      socket.once('data', () =>
        socket.end(
          'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n',
        ),
      ),
    );
    server.listen(path);
    await once(server, 'listening');
    expect((await failureOf(callControl(path, 'ls'))).message).to.match(/broke off/);
    server.close();
    await once(server, 'close');
  });
});
