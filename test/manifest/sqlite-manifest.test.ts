import { manifestContract } from '../contract/manifest.ts';
import { openIn } from '../support/manifest-fixtures.ts';
import { tempFolder } from '../support/temp-folder.ts';

for (const lock of ['local', 'none'] as const) {
  manifestContract(`SqliteManifest with lock ${lock}`, async () => {
    const folder = await tempFolder();
    const manifest = await openIn(folder.path, { lock });
    const dispose = manifest[Symbol.asyncDispose].bind(manifest);
    manifest[Symbol.asyncDispose] = async () => {
      await dispose();
      await folder[Symbol.asyncDispose]();
    };
    return manifest;
  });
}
