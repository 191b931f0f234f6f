import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

// Loaded before a node: at SIGUSR2 it collects all garbage and logs what is left, on the heap and beside it.
if (isMainThread)
  process.on('SIGUSR2', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    // What the first one finds beside the heap is gone with the second.
    collect();
    collect();
    const { heapUsed, external } = process.memoryUsage();
    process.stderr.write(`${JSON.stringify({ msg: 'live memory', bytes: heapUsed + external })}\n`);
  });
