import { createInterface } from 'node:readline';

/**
 * Answers as a lock's helper process by a script, its first argument: per request an errno, `late:<ms>:<errno>`, `mute`
 * or `die`, separated by commas; the last one for all that follow. Ends with its input.
 */
const steps = (process.argv[2] ?? '0').split(',');
let next = 0;

createInterface({ input: process.stdin })
  .on('line', () => {
    const [what = '0', ms = '0', errno = '0'] = (
      steps[Math.min(next++, steps.length - 1)] ?? ''
    ).split(':');
    if (what === 'die') process.exit(1);
    else if (what === 'late') setTimeout(() => process.stdout.write(`${errno}\n`), Number(ms));
    else if (what !== 'mute') process.stdout.write(`${what}\n`);
  })
  .on('close', () => process.exit(0));
