import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { codeOf, kindOf } from '../../src/errors.ts';
import { workerEntry } from '../../src/sqlite/worker-entry.ts';
import { WriterThread } from '../../src/sqlite/writer-thread.ts';
import type { EchoRequest, EchoResponse } from './echo-worker.ts';

const entry = workerEntry(new URL('./echo-worker.ts', import.meta.url));

describe('WriterThread', () => {
  it('answers each request and sends those of one tick as one batch', async () => {
    await using thread = new WriterThread<EchoRequest, EchoResponse>({ entry });
    const answers = await Promise.all(['a', 'b', 'c'].map((text) => thread.request({ text })));
    expect(answers).to.deep.equal(['a', 'b', 'c'].map((text) => ({ text, batch: 3 })));
  });

  it('hands an error back with its code and goes on', async () => {
    await using thread = new WriterThread<EchoRequest, EchoResponse>({ entry });
    const [failed, kept] = await Promise.allSettled([
      thread.request({ fail: 'SQLITE_FULL' }),
      thread.request({ text: 'x' }),
    ]);
    expect(failed.status === 'rejected' && codeOf(failed.reason)).to.equal('SQLITE_FULL');
    expect(kept.status).to.equal('fulfilled');
  });

  it('finishes what was asked before dispose and refuses what comes after', async () => {
    const thread = new WriterThread<EchoRequest, EchoResponse>({ entry });
    const answers = Array.from({ length: 2500 }, (_, i) => thread.request({ text: String(i) }));
    await thread[Symbol.asyncDispose]();
    const texts = (await Promise.all(answers)).map(({ text }) => Number(text));
    expect(texts).to.deep.equal(Array.from({ length: 2500 }, (_, i) => i));
    expect(await thread.request({ text: 'late' }).catch(kindOf)).to.equal('unavailable');
  });

  it('fails the requests of a thread that died, and starts it again later', async () => {
    await using thread = new WriterThread<EchoRequest, EchoResponse>({ entry });
    const died = await thread.request({ die: true }).catch(kindOf);
    expect(died).to.equal('unavailable');
    const deadline = Date.now() + 5000;
    let answer: EchoResponse | undefined;
    while (answer === undefined && Date.now() < deadline) {
      await delay(20);
      answer = await thread.request({ text: 'again' }).catch(() => undefined);
    }
    expect(answer?.text).to.equal('again');
  });

  it('does not keep an idle process alive', async () => {
    const script = `
      import { WriterThread } from ${JSON.stringify(new URL('../../src/sqlite/writer-thread.ts', import.meta.url).href)};
      const thread = new WriterThread({ entry: new URL(${JSON.stringify(entry.href)}) });
      console.log((await thread.request({ text: 'bye' })).text);`;
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 10_000,
    });
    expect(stdout).to.equal('bye\n');
  });
});
