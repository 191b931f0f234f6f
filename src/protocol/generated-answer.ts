import { HeaderList } from '../headers.ts';
import { memoryContent } from './contents.ts';
import type { ProtocolResponse } from './protocol.ts';

/** An answer that this node made by itself and that nobody keeps (`Cache-Control: no-store`). */
export function generatedAnswer(
  status: number,
  contentType: string,
  body: string,
): ProtocolResponse {
  return {
    status,
    headers: new HeaderList([
      ['Content-Type', contentType],
      ['Cache-Control', 'no-store'],
    ]),
    content: memoryContent(Buffer.from(body)),
    report: { phase: 'bypass', detail: 'GENERATED' },
    selectable: false,
  };
}
