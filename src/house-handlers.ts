import { backup, backupTotal } from './backup-handler.ts';
import { copyStorage, copyTotal } from './copy-handler.ts';
import type { HouseParts } from './house-parts.ts';
import { backupInput, copyInput } from './house-schemas.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';
import { exportTar, tarExportTotal } from './tar-export-handler.ts';
import { importTar, tarImportTotal } from './tar-import-handler.ts';
import { tarExportInput, tarImportInput } from './tar-schemas.ts';

/** The commands that move whole stores, by name: `copy`, `backup`, `export-tar`, `import-tar`, and for each one's total `…-total`. */
export function createHouseHandlers(parts: HouseParts): Readonly<Record<string, ControlHandler>> {
  return {
    copy: (input, options) => copyStorage(parts, parseInput(copyInput, input), options),
    'copy-total': async (input, options) =>
      await copyTotal(parts, parseInput(copyInput, input), options),
    backup: (input, options) => backup(parts, parseInput(backupInput, input), options),
    'backup-total': () => backupTotal(parts),
    'export-tar': (input, options) => exportTar(parts, parseInput(tarExportInput, input), options),
    'export-tar-total': async (input, options) =>
      await tarExportTotal(parts, parseInput(tarExportInput, input), options),
    'import-tar': (input, options) => importTar(parts, parseInput(tarImportInput, input), options),
    'import-tar-total': async (input) => await tarImportTotal(parseInput(tarImportInput, input)),
  };
}
