import { OfdLock } from '@caje/litefs';

/** Takes the lock named first, says so on standard output, and holds it until its standard input ends. */
const [path = ''] = process.argv.slice(2);
const lock = new OfdLock(path);
process.stdout.write(lock.tryLock() ? 'held\n' : 'refused\n');
process.stdin.on('end', () => lock.close()).resume();
