import { goMissing } from '../support/go-command.ts';
import { skipUnless } from '../support/skip.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { DoubleSite, SCENARIOS } from './go-double.ts';
import { inAllPhases } from './go-phases.ts';

/** Milliseconds for a scenario; the first one that links a program compiles the runtime. */
const SCENARIO_MS = 120_000;

// G8: against a registry whose content is known, so that nothing leaves the machine.
describe('the go command behind a node: what people do', function () {
  this.timeout(SCENARIO_MS);

  let folder: TempFolder;
  let site: DoubleSite;

  before(async function () {
    const missing = goMissing();
    skipUnless(this, missing === undefined, missing ?? '');
    folder = await tempFolder();
    site = await DoubleSite.start(folder.path);
  });

  after(async () => {
    await site?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  inAllPhases(() => site, SCENARIOS);
});
