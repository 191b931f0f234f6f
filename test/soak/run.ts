import { parseArgs } from 'node:util';
import { chooseSeed } from '../support/random.ts';
import { chooseRows, runRows } from './run-rows.ts';
import { loadRows } from './soak-row.ts';

const USAGE = `npm run soak -- [--quick] [--list] [ROW…]
Runs fault rows with their full counts and prints for each: row, passed/cases, seed.
  --quick  as few cases as the tests run
  --list   only says which rows there are
  CAJE_TEST_SEED replays a seed.`;

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const rows = chooseRows(await loadRows(), positionals);
  if (values.help) console.log(USAGE);
  else if (values.list) {
    for (const { id, full, title } of rows) console.log(`${id}, ${full} cases: ${title}`);
  } else {
    const { failed } = await runRows(rows, {
      seed: chooseSeed(),
      quick: values.quick,
      print: (line) => console.log(line),
    });
    process.exitCode = failed > 0 ? 1 : 0;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error(USAGE);
  process.exitCode = 2;
}
