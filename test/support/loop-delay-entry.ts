import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const NS_PER_MS = 1e6;

// Loaded before a node: at SIGUSR2 it logs how late its event loop was since the last time, and begins anew.
if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  process.on('SIGUSR2', () => {
    const [p99, max] = [delay.percentile(99) / NS_PER_MS, delay.max / NS_PER_MS];
    delay.reset();
    process.stderr.write(`${JSON.stringify({ msg: 'loop delay', p99, max })}\n`);
  });
}
