import { copyStorage, copyTotal } from './copy-handler.ts';
import type { HouseParts } from './house-parts.ts';
import { copyInput } from './house-schemas.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';

/** The commands that move whole stores, by name: `copy` and `copy-total`. */
export function createHouseHandlers(parts: HouseParts): Readonly<Record<string, ControlHandler>> {
  return {
    copy: (input, options) => copyStorage(parts, parseInput(copyInput, input), options),
    'copy-total': async (input, options) =>
      await copyTotal(parts, parseInput(copyInput, input), options),
  };
}
