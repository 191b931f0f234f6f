import { serveWriter } from '../../src/sqlite/serve-writer.ts';

/** What the thread of the tests is asked: to say how large its batch was, to fail, or to die. */
export type EchoRequest =
  | { readonly text: string }
  | { readonly fail: string }
  | { readonly die: true };

/** The text again and how many requests came with it. */
export interface EchoResponse {
  readonly text: string;
  readonly batch: number;
}

serveWriter<EchoRequest, EchoResponse>((batch) =>
  batch.map((request) => {
    if ('die' in request) process.exit(1);
    if ('fail' in request) return { error: Object.assign(new Error('no'), { code: request.fail }) };
    return { value: { text: request.text, batch: batch.length } };
  }),
);
