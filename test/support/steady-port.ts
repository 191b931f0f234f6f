import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Where the system begins to give ports to those who ask for any; Linux says it. */
const SYSTEM_FROM = systemFrom();
const FROM = 10_000;
const LANES = 2;
const ROOM = Math.floor((SYSTEM_FROM - FROM) / LANES);
const lane = Number(process.env['CAJE_TEST_LANE'] ?? 0) % LANES;

let next = process.pid % ROOM;

/**
 * A free port of the loopback that stays free while whoever listened there is away and comes back: below those that the
 * system gives, in a part of its own for each lane of tests, and each once.
 */
export async function steadyPort(): Promise<number> {
  for (let tried = 0; tried < ROOM; tried++) {
    const port = FROM + lane * ROOM + (next++ % ROOM);
    if (await isFree(port)) return port;
  }
  throw new Error(`no port is free from ${FROM + lane * ROOM} on`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (listens) await new Promise((resolve) => server.close(resolve));
  return listens;
}

function systemFrom(): number {
  const usual = 32_768;
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
    const from = Number(range.split(/\s+/)[0]);
    return from > FROM + 2_000 ? from : usual;
  } catch {
    return usual;
  }
}
