import { Document, isMap, isScalar, isSeq } from 'yaml';
import type { PathPart } from './json-schema.ts';

/** Maps and lists up to this long stand on one line. */
const LINE = 100;

/** A configuration in the making, with comments on its keys. */
export class AthensDraft {
  readonly #root: Record<string, unknown> = {};
  readonly #comments: { readonly path: readonly PathPart[]; readonly text: string }[] = [];

  /** Sets a key, and the sections above it that are not there. Keys are printed in the order of their first use. */
  put(path: readonly string[], value: unknown): void {
    let place = this.#root;
    for (const part of path.slice(0, -1)) {
      place[part] ??= {};
      place = place[part] as Record<string, unknown>;
    }
    place[path.at(-1) ?? ''] = value;
  }

  /** Puts a line above a key: what of the setting is not carried over. */
  partly(path: readonly PathPart[], text: string): void {
    this.#comments.push({ path, text });
  }

  /** As YAML that `loadConfig` takes. */
  print(head: string): string {
    const document = new Document(this.#root);
    document.commentBefore = commented(head);
    flow(document.contents);
    for (const { path, text } of this.#comments) attach(document, path, text);
    return document.toString({ lineWidth: 0, flowCollectionPadding: true });
  }
}

/** A text as it is: nothing in it is filled in from the environment. */
export function asIs(text: string): string {
  return text.replaceAll('${', () => '$${');
}

function commented(text: string): string {
  return text
    .split('\n')
    .map((line) => ` ${line}`)
    .join('\n');
}

// Sections and rules stand line by line, what lies in them on one line where it fits.
function flow(node: unknown, depth = 0): void {
  if (!isMap(node) && !isSeq(node)) return;
  const short = JSON.stringify(node.toJSON()).length <= LINE;
  if (depth >= 2 && short && !(isSeq(node) && node.items.some(isMap))) {
    node.flow = true;
    return;
  }
  for (const item of node.items) {
    if (isMap(node)) flow((item as { readonly value: unknown }).value, depth + 1);
    else flow(item, depth + 1);
  }
}

function attach(document: Document, path: readonly PathPart[], text: string): void {
  const holder = document.getIn(path.slice(0, -1), true);
  for (let above = path.slice(0, -1); above.length > 0; above = above.slice(0, -1)) {
    const node = document.getIn(above, true);
    if (isMap(node) || isSeq(node)) node.flow = false;
  }
  if (!isMap(holder)) throw new Error(`nothing to comment on at ${path.join('.')}`);
  const pair = holder.items.find(({ key }) => isScalar(key) && key.value === path.at(-1));
  if (!isScalar(pair?.key)) throw new Error(`no key to comment on at ${path.join('.')}`);
  const line = commented(`partly: ${text}`);
  pair.key.commentBefore = [pair.key.commentBefore, line].filter(Boolean).join('\n');
}
