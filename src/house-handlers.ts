import { backup, backupTotal } from './backup-handler.ts';
import { copyStorage, copyTotal } from './copy-handler.ts';
import type { HouseParts } from './house-parts.ts';
import { backupInput, copyInput } from './house-schemas.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';

/** The commands that move whole stores, by name: `copy`, `backup`, and `copy-total`, `backup-total`. */
export function createHouseHandlers(parts: HouseParts): Readonly<Record<string, ControlHandler>> {
  return {
    copy: (input, options) => copyStorage(parts, parseInput(copyInput, input), options),
    'copy-total': async (input, options) =>
      await copyTotal(parts, parseInput(copyInput, input), options),
    backup: (input, options) => backup(parts, parseInput(backupInput, input), options),
    'backup-total': () => backupTotal(parts),
  };
}
