import { HeaderList } from '../headers.ts';
import type { ProtocolRequest, ProtocolResponse } from './protocol.ts';

/** A plain GET that the node asks itself; `base` is where clients reach its rule, without the target. */
export function ownRequest(target: string, base: string): ProtocolRequest {
  return {
    method: 'GET',
    target,
    publicUrl: base + target,
    host: new URL(base).host,
    headers: HeaderList.empty,
    forwarding: HeaderList.empty,
    onlyIfCached: false,
  };
}

/** The first bytes of an answer's body, `maxBytes` at most; the rest is not read. */
export async function readResponse(
  { content }: ProtocolResponse,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of content?.open({ signal }) ?? []) {
    pieces.push(piece as Buffer);
    size += (piece as Buffer).length;
    if (size >= maxBytes) break;
  }
  return Buffer.concat(pieces).subarray(0, maxBytes);
}
