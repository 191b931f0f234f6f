import type { IncomingMessage, ServerResponse } from 'node:http';
import { PEER_NODE_PATH, PEER_PROTOCOL, type PeerNode } from '../../src/fetchers/peer-protocol.ts';
import { startOrigin, type TestOrigin } from './origins.ts';

/** Token that a fake node takes. */
export const NODE_TOKEN = 'token-of-the-cluster';

/** A server that says it is a node of the cluster, and answers as it is told. */
export interface FakeNode extends AsyncDisposable {
  readonly url: string;
  readonly id: string;
  /** What it says of itself; may be changed. */
  node: PeerNode;
  /** How it answers what it is asked for; may be changed. */
  answer: (request: IncomingMessage, response: ServerResponse) => void;
  /** Requests for anything but who it is. */
  readonly asked: IncomingMessage[];
  readonly server: TestOrigin;
}

/** Starts one named `caje-<digit repeated>`; it answers 500 until told otherwise. */
export async function startNode(digit: string): Promise<FakeNode> {
  const id = `caje-${digit.repeat(16)}`;
  const asked: IncomingMessage[] = [];
  const server = await startOrigin((request, response) => {
    if (request.headers.authorization !== `Bearer ${NODE_TOKEN}`) {
      response.writeHead(401).end();
      return;
    }
    if (request.url === PEER_NODE_PATH) {
      response.end(JSON.stringify(fake.node));
      return;
    }
    asked.push(request);
    fake.answer(request, response);
  });
  const fake: FakeNode = {
    url: server.url,
    id,
    node: { nodeId: id, version: '1.2.3', protocol: PEER_PROTOCOL, draining: false },
    answer: (_, response) => response.writeHead(500).end(),
    asked,
    server,
    [Symbol.asyncDispose]: async () => await server.close(),
  };
  return fake;
}
