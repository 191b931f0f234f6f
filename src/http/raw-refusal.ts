import { STATUS_CODES } from 'node:http';
import type { HttpLimits } from './http-limits.ts';
import { renderProblem } from './problem.ts';
import type { Refusal } from './request-check.ts';
import { problemOfRefusal } from './request-check.ts';
import { newRequestId } from './request-id.ts';

/** A whole error answer as text, for a connection whose request node:http could not read. */
export function rawProblem(refusal: Refusal): string {
  const problem = problemOfRefusal(refusal);
  const { headers, body } = renderProblem(problem, newRequestId());
  let text = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? 'Error'}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${text}Date: ${new Date().toUTCString()}\r\nConnection: close\r\n\r\n${body.toString()}`;
}

/** What the failure of node:http's parser means. Absent: the connection broke, nobody is there to answer. */
export function refusalOfParser(
  error: { readonly code?: string | undefined; readonly rawPacket?: Uint8Array | undefined },
  limits: HttpLimits,
): Refusal | undefined {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return isLongTarget(error.rawPacket, limits.targetBytes)
        ? {
            reason: 'target-too-long',
            detail: `The request target is longer than ${limits.targetBytes} bytes.`,
          }
        : {
            reason: 'fields',
            detail: `Request line and fields are longer than ${limits.headerBytes} bytes.`,
          };
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { reason: 'too-large', detail: 'Chunk extensions are too long.' };
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { reason: 'request-timeout', detail: 'The request did not arrive in time.' };
    default:
      return error.code?.startsWith('HPE_') === true
        ? { reason: 'malformed', detail: 'The request is not well-formed HTTP/1.1.' }
        : undefined;
  }
}

function isLongTarget(packet: Uint8Array | undefined, limit: number): boolean {
  if (packet === undefined) return false;
  const text = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength).toString('latin1');
  const start = text.indexOf(' ') + 1;
  const end = text.slice(start).search(/[ \r\n]/);
  return start > 0 && (end < 0 ? text.length - start : end) > limit;
}
