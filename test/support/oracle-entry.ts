import { OracleOrigin } from './oracle-origin.ts';

const origin = await OracleOrigin.start({ seed: Number(process.argv[2]) });
process.stdout.write(`${origin.url}\n`);
process.stdin.resume().once('end', () => void origin[Symbol.asyncDispose]());
