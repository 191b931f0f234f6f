import { Command, CommanderError } from 'commander';
import { codeOf } from '../errors.ts';
import { VERSION } from '../version.ts';
import { addBackupCommand } from './backup-command.ts';
import { addBenchCommand } from './bench-command.ts';
import { addClusterCommand } from './cluster-command.ts';
import { addConfigCommands } from './config-commands.ts';
import { addCopyCommand } from './copy-command.ts';
import { addCountersCommand } from './counters-command.ts';
import { addDuCommand } from './du-command.ts';
import { addExportCommand } from './export-command.ts';
import { addGcCommand } from './gc-command.ts';
import { addImportCommand } from './import-command.ts';
import { addInitCommand } from './init-command.ts';
import { addJournalCommand } from './journal-command.ts';
import { addLsCommand } from './ls-command.ts';
import { addMigrateCommand } from './migrate-command.ts';
import { addPopulateCommand } from './populate-command.ts';
import { addPrimaryCommand } from './primary-command.ts';
import { addPurgeCommand } from './purge-command.ts';
import { addReindexCommand } from './reindex-command.ts';
import { addRestoreCommand } from './restore-command.ts';
import { addServeCommand } from './serve-command.ts';
import { addSlowServerCommand } from './slow-server-command.ts';
import { allPrinted, complain, EXIT } from './terminal.ts';
import { addVerifyCommand } from './verify-command.ts';

const program = new Command('caje')
  .description('A pull-through node: a caching reverse proxy and a Go module proxy.')
  .version(VERSION, '-V, --version', 'print the version')
  .showHelpAfterError('(caje --help explains)')
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .addHelpText(
    'after',
    `
Examples:
  caje serve                          serve Go modules and a demo site on 127.0.0.1:8080
  caje init && caje serve             the same with a caje.yaml to begin from
  caje ls --rule site                 what is kept of one rule
  caje purge --prefix http://www.example.com/assets/

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not allowed.`,
  );
for (const add of [
  addServeCommand,
  addConfigCommands,
  addInitCommand,
  addLsCommand,
  addJournalCommand,
  addPurgeCommand,
  addVerifyCommand,
  addGcCommand,
  addDuCommand,
  addPopulateCommand,
  addExportCommand,
  addImportCommand,
  addCopyCommand,
  addBackupCommand,
  addRestoreCommand,
  addReindexCommand,
  addMigrateCommand,
  addPrimaryCommand,
  addClusterCommand,
  addBenchCommand,
  addCountersCommand,
  addSlowServerCommand,
]) {
  add(program);
}
// `caje ls | head` has shown what was asked for; a node goes on serving when nobody reads its banner.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  if (program.args[0] !== 'serve') process.exit(EXIT.done);
});

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) process.exitCode = complain(error);
  else process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
}
await allPrinted();
// Sockets that a library keeps for its next request must not hold up the end of a command.
process.exit();
