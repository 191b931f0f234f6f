import { isDamaged, openDatabase } from '../sqlite/open-database.ts';
import { serveWriter } from '../sqlite/serve-writer.ts';
import { checkDatabase } from './manifest-database.ts';

serveWriter<string, boolean>((paths) => paths.map((path) => ({ value: isWhole(path) })));

function isWhole(path: string): boolean {
  try {
    const database = openDatabase(path, { readOnly: true });
    try {
      checkDatabase(database);
      return true;
    } finally {
      database.close();
    }
  } catch (error) {
    return !isDamaged(error);
  }
}
