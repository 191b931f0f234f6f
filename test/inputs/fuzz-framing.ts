import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import fc from 'fast-check';
import { type Edge, protocolOf, respond, rule, startEdge } from '../support/edge.ts';
import { type ReadRequest, readObligingly, readStrictly } from './reference-parsers.ts';

/** What a fuzz of request framing found. */
export interface FramingFuzz {
  /** Messages that were tried. */
  readonly runs: number;
  /** Requests among them that the node took. */
  readonly taken: number;
  /** The smallest message found that has two readings, and which. Absent: none has. */
  readonly bad?: string | undefined;
}

const method = fc.constantFrom('GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'post');
const target = fc.constantFrom('/', '/a', '/a?b=c', '/%0d%0a', '//a', '*', '/a#b', '/a b', '');
const version = fc.constantFrom(
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'HTTP/1.1 ',
  '',
);
const body = fc.constantFrom(
  '',
  'abcde',
  '5\r\nabcde\r\n0\r\n\r\n',
  '0\r\n\r\n',
  '5;x=y\r\nabcde\r\n0\r\nT: x\r\n\r\n',
  'GET /in HTTP/1.1\r\nHost: in\r\n\r\n',
);
const line = fc.constantFrom(
  ...[
    'Host: a',
    'Host: a',
    'Host: b.test:81',
    'Host:a ',
    'host: A',
    'Host : a',
    ' Host: a',
    'Host: ',
  ],
  ...[
    'Content-Length: 5',
    'Content-Length: 5',
    'Content-Length: 0',
    'Content-Length: +5',
    'Content-Length: 5, 5',
  ],
  ...[
    'Content-Length:5 ',
    'Content-Length: 0x5',
    'Content-Length : 5',
    'Content-Length: 5\t',
    'Content_Length: 5',
  ],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: Chunked',
    'Transfer-Encoding: x, chunked',
  ],
  ...[
    'Transfer-Encoding:\tchunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: "chunked"',
  ],
  ...[
    'Connection: close',
    'Connection: keep-alive',
    'X: y',
    'X:',
    ': y',
    'X',
    '\tfolded',
    'X: \x80\xff',
    'X: a\rb',
    'X: \0',
  ],
);
const end = fc.constantFrom('\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n');
const well = fc
  .tuple(fc.constantFrom('GET', 'POST'), fc.constantFrom('/', '/a'), fc.integer({ min: 0, max: 2 }))
  .map(([verb, path, how]) => {
    const head = `${verb} ${path} HTTP/1.1\r\nHost: a\r\n`;
    if (verb === 'GET' || how === 0) return `${head}\r\n`;
    return how === 1
      ? `${head}Content-Length: 5\r\n\r\nabcde`
      : `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n`;
  });
const odd = fc
  .tuple(method, target, version, fc.array(fc.tuple(line, end), { maxLength: 6 }), end, end, body)
  .map(([verb, path, spoken, lines, first, last, rest]) => {
    const fields = lines.map(([field, lineEnd]) => field + lineEnd).join('');
    return `${verb} ${path} ${spoken}${first}${fields}${last}${rest}`;
  });
// Right but for a line or two: what is refused only for these.
const near = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'POST'),
    fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0'),
    fc.constantFrom(
      '',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: chunked',
    ),
    fc.array(line, { maxLength: 2 }),
    fc.boolean(),
  )
  .map(([verb, spoken, framing, extra, isFirst]) => {
    const own = framing === '' ? [] : [framing];
    const lines = ['Host: a', ...(isFirst ? [...extra, ...own] : [...own, ...extra])];
    const bodies: Readonly<Record<string, string>> = { '': '', 'Content-Length: 5': 'abcde' };
    const rest = bodies[framing] ?? '5\r\nabcde\r\n0\r\n\r\n';
    return `${verb} / ${spoken}\r\n${lines.map((field) => `${field}\r\n`).join('')}\r\n${rest}`;
  });
const weighted = [
  { arbitrary: near, weight: 3 },
  { arbitrary: well, weight: 1 },
  { arbitrary: odd, weight: 1 },
];
const messages = fc.array(fc.oneof(...weighted), { minLength: 1, maxLength: 3 });
const change = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  drop: fc.integer({ min: 0, max: 3 }),
  put: fc.constantFrom(
    '',
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    '\0',
    ':',
    ';',
    ',',
    '0',
    '5',
    'a',
    '\x0b',
    '\x85',
    'chunked',
  ),
});
const hostile = fc
  .tuple(messages, fc.array(change, { maxLength: 2, size: '-2' }))
  .map(([texts, changes]) =>
    changes.reduce((text, { at, drop, put }) => {
      const from = Math.floor(at * text.length);
      return text.slice(0, from) + put + text.slice(from + drop);
    }, texts.join('')),
  );

/**
 * Sends messages made of a grammar of right and wrong parts, and then changed, to a node's edge. What it takes as a request must be
 * the same request to a parser that keeps to RFC 9112, to one that is obliging, and to Node's own in its lenient form.
 */
export async function fuzzFraming(runs: number, seed: number): Promise<FramingFuzz> {
  await using readers = await startReaders();
  let taken = 0;
  const property = fc.asyncProperty(hostile, async (bytes) => {
    const ours = await readers.edge(bytes);
    taken += ours.length;
    for (const [name, theirs] of [
      ['strict', readStrictly(bytes)],
      ['obliging', readObligingly(bytes)],
      ['lenient', ours.length === 0 ? [] : await readers.lenient(bytes)],
    ] as const) {
      for (const [at, request] of ours.entries()) {
        const other = theirs[at];
        if (other !== undefined && textOf(request) === textOf(other)) continue;
        throw new Error(`${name} reads ${other && textOf(other)}, the node ${textOf(request)}`);
      }
    }
  });
  const details = await fc.check(property, { numRuns: runs, seed });
  const bad = details.failed
    ? `${JSON.stringify(details.counterexample)}: ${String(details.errorInstance)}`
    : undefined;
  return { runs: details.numRuns, taken, bad };
}

function textOf({ method: verb, target: path, host, body: bytes }: ReadRequest): string {
  return JSON.stringify([verb, path, host.toLowerCase().replace(/:80$/, ''), bytes]);
}

type Pieces = AsyncIterable<unknown> | Iterable<unknown>;

interface Readers extends AsyncDisposable {
  edge(bytes: string): Promise<readonly ReadRequest[]>;
  lenient(bytes: string): Promise<readonly ReadRequest[]>;
}

async function startReaders(): Promise<Readers> {
  // In the order in which they began; one whose body did not come is no request that was read.
  let read: (ReadRequest | undefined)[] = [];
  const note = async (head: Omit<ReadRequest, 'body'>, stream: Pieces): Promise<void> => {
    const mine = read;
    const at = mine.push(undefined) - 1;
    const body = await bodyOf(stream);
    mine[at] = { ...head, body };
  };
  const edge: Edge = await startEdge({
    rules: [
      rule(
        protocolOf(async ({ method: verb, target: path, host, body: stream }) => {
          await note({ method: verb, target: path, host }, stream ?? []);
          return respond({});
        }),
      ),
    ],
  });
  const lenient = createServer(
    { insecureHTTPParser: true, requireHostHeader: false },
    (req, res) => {
      const { method: verb = '', url = '', headers } = req;
      void note({ method: verb, target: url, host: headers.host ?? '' }, req).then(
        () => res.end(),
        () => res.destroy(),
      );
    },
  );
  await new Promise<void>((resolve) => lenient.listen(0, '127.0.0.1', resolve));
  const through = async (port: number, bytes: string): Promise<readonly ReadRequest[]> => {
    read = [];
    await exchange(port, bytes);
    const first = read.indexOf(undefined);
    return (first < 0 ? read : read.slice(0, first)) as readonly ReadRequest[];
  };
  return {
    edge: async (bytes) => await through(edge.port, bytes),
    lenient: async (bytes) => await through((lenient.address() as AddressInfo).port, bytes),
    [Symbol.asyncDispose]: async () => {
      await edge[Symbol.asyncDispose]();
      await close(lenient);
    },
  };
}

async function bodyOf(stream: Pieces): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1');
}

/** Sends everything, says that no more comes, and waits until the other side has closed. */
async function exchange(port: number, bytes: string): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
    socket.end(bytes, 'latin1');
  });
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
