import { parseArgs } from 'node:util';
import { chooseSeed } from '../support/random.ts';
import { chooseRows, runRows } from './run-rows.ts';
import { loadRows } from './soak-row.ts';

const USAGE = `npm run soak -- [--quick] [--list] [ROW…]
Runs fault rows with their full counts and prints for each: row, passed/cases, seed.
  --quick    as few cases as the tests run
  --cases N  N cases of each row
  --list     only says which rows there are
  CAJE_TEST_SEED replays a seed.`;

// These have the machine for themselves: what is promised in milliseconds is held to.
process.env['CAJE_TEST_PATIENCE'] ??= '1';

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      cases: { type: 'string' },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const rows = chooseRows(await loadRows(), positionals);
  const cases = values.cases === undefined ? undefined : Number(values.cases);
  if (cases !== undefined && !(Number.isSafeInteger(cases) && cases > 0))
    throw new Error(`--cases ${values.cases}: expected a number from 1 on`);
  if (values.help) console.log(USAGE);
  else if (values.list) {
    for (const { id, full, title } of rows) console.log(`${id}, ${full} cases: ${title}`);
  } else {
    const { failed } = await runRows(rows, {
      seed: chooseSeed(),
      quick: values.quick,
      cases,
      print: (line) => console.log(line),
    });
    process.exitCode = failed > 0 ? 1 : 0;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error(USAGE);
  process.exitCode = 2;
}
