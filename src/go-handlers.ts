import { exportModules, exportTotal } from './go-export-handler.ts';
import { importModules, importTotal } from './go-import-handler.ts';
import { populate } from './go-populate-handler.ts';
import type { GoParts } from './go-rules.ts';
import { exportInput, importInput, populateInput, verifySumdbInput } from './go-schemas.ts';
import { sumsTotal, verifySums } from './go-verify-handler.ts';
import type { ControlHandler } from './http/control-socket.ts';
import { parseInput } from './operator-input.ts';

/** The commands for Go modules by name: `populate`, `export`, `import`, `verify-sumdb`, each but the first also with `-total` behind it. */
export function createGoHandlers(parts: GoParts): Readonly<Record<string, ControlHandler>> {
  return {
    populate: (input, options) => populate(parts, parseInput(populateInput, input), options),
    export: (input, options) => exportModules(parts, parseInput(exportInput, input), options),
    'export-total': async (input, options) =>
      await exportTotal(parts, parseInput(exportInput, input), options),
    import: (input, options) => importModules(parts, parseInput(importInput, input), options),
    'verify-sumdb': (input, options) =>
      verifySums(parts, parseInput(verifySumdbInput, input), options),
    'verify-sumdb-total': async (input, options) =>
      await sumsTotal(parts, parseInput(verifySumdbInput, input), options),
    'import-total': async (input, options) =>
      await importTotal(parseInput(importInput, input), options),
  };
}
