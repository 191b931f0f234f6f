import { ManifestDatabase } from '../../src/manifest/manifest-database.ts';

// Opens a manifest as the writer does: its schema is the newest then.
new ManifestDatabase(process.argv[2] ?? '').close();
