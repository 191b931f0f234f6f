import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { callControl } from '../../src/http/control-client.ts';
import { eventually } from '../criteria/eventually.ts';
import type { Random } from '../support/random.ts';
import { InputPlace } from './place.ts';

/** What a node makes by itself, whatever is asked. */
const OWN =
  /^(?:caje\.yaml|data|data\/(?:control\.sock|[a-z-]+\.(?:db|json)(?:[.-][a-z]+)?|node-id|spool|blobs|go-vcs|blobs\/(?:staging|quarantine|tmp|rows.*)))$/;
/** What it makes for requests: digests below the store, numbers and random names in the spool. */
const NAMED =
  /^data\/(?:blobs\/[0-9a-f]{2}(?:\/[0-9a-f]{64})?|blobs\/(?:staging|tmp)\/[0-9a-f.-]+|spool\/[0-9a-f.-]+(?:\/[0-9a-f.-]+)?)$/;
/** Of which addresses are made by chance. */
const LETTERS = [
  'a',
  'b',
  '/',
  '.',
  '..',
  '%',
  '%2f',
  '%2e',
  '%5c',
  '~',
  '&',
  '=',
  '-',
  '*',
  '|',
  ':',
  '?',
  ';',
  '\\',
];
/** Large enough for a file of its own. */
const SIZE = 66_000;

/** A node that also serves Go modules, below `/go/`, from the echoing origin. */
export async function startGoPlace(): Promise<InputPlace> {
  return await InputPlace.start({
    rules: [{ name: 'go', path: '/go/*', strip: true, protocol: 'go', fetch: 'modules' }],
    config: ({ echoUrl }) => ({
      fetchers: {
        echo: { type: 'origin', url: echoUrl },
        raw: { type: 'origin', url: echoUrl },
        modules: { type: 'upstreams', list: echoUrl },
      },
    }),
  });
}

/** Paths below the node's folder that have neither a name of the node's own nor a digest. */
export async function strangeFiles({ folder }: InputPlace): Promise<string[]> {
  const all = await readdir(folder.path, { recursive: true, withFileTypes: true });
  const paths = all.map((one) => relative(folder.path, join(one.parentPath, one.name)));
  return paths.filter((path) => !OWN.test(path) && !NAMED.test(path));
}

/** Asks for a target as it is written, twice, so that it may be kept and read again. Gives the status. */
export async function askTwice(place: InputPlace, target: string): Promise<number> {
  let status = Number.NaN;
  for (let turn = 0; turn < 2; turn++) {
    const { text } = await place.sendRaw(
      `GET ${target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`,
    );
    status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  }
  return status;
}

/** Has a body kept under an address made by chance. Throws where that makes a file with another name than a digest. */
export async function digestNamed(
  place: InputPlace,
  number: number,
  random: Random,
): Promise<void> {
  const letters = Array.from({ length: random.integer(1, 12) }, () => random.pick(LETTERS));
  const target = `/61/${number}/${letters.join('')}`;
  const body = Buffer.alloc(SIZE, `${number} `);
  const path = target.split('?', 1)[0] ?? '';
  place.scripts.set(path, (_, res) => {
    res.writeHead(200, { 'Cache-Control': 'max-age=600', 'Content-Length': body.length });
    res.end(body);
  });
  const status = await askTwice(place, target);
  place.scripts.delete(path);
  if (status !== 200) throw new Error(`${target}: ${status}`);
  const strange = await strangeFiles(place);
  if (strange.length > 0) throw new Error(`${target}: ${strange.join(', ')}`);
}

/** Asks for a version of a module ten times while its upstream says something else each time. Throws where an answer changes. */
export async function unchangedVersion(place: InputPlace, number: number): Promise<void> {
  const path = `/a.test/m${number}/@v/v1.0.0.mod`;
  place.scripts.set(path, ({ number: request }, res) => {
    const body = `module a.test/m${number}\n// ${request}\n`;
    res.writeHead(200, { 'Content-Length': body.length });
    res.end(body);
  });
  const alarms = (): number =>
    place.log.lines.filter(
      ({ message, fields }) =>
        message.includes('must never change') && fields['key'] === path.slice(1),
    ).length;
  const socket = join(place.folder.path, 'data', 'control.sock');
  let first: string | undefined;
  for (let turn = 0; turn < 10; turn++) {
    const { status, body, error } = await place.ask(`/go${path}`);
    if (status === 200 && error === undefined) {
      first ??= String(body);
      if (String(body) !== first) throw new Error(`${path} was ${first}, is ${String(body)}`);
    } else if (turn === 0) throw new Error(`${path}: ${status}`);
    if (turn === 0)
      await eventually(`the row of ${path}`, async () => {
        const rows = await callControl(socket, 'ls', { prefix: path.slice(1) });
        return (rows as readonly unknown[]).length > 0;
      });
    // It is asked for anew.
    await callControl(socket, 'purge', { kind: 'key', value: path.slice(1), soft: true });
  }
  if (place.asked(path) !== 10) throw new Error(`${path} was asked for ${place.asked(path)} times`);
  if (alarms() !== 9) throw new Error(`${path}: ${alarms()} alarms`);
}
