import type { HashInspection } from './hash-inspection.ts';
import type { HashThread } from './hash-thread.ts';
import { ZipInspection } from './zip-inspection.ts';
import type { ModuleVersion, ZipFindings } from './zip-verdict.ts';

/** Whose zip it is, and where it is read. */
export interface ModuleZipOptions extends ModuleVersion {
  /** The thread that does it. Absent: this one, which it keeps busy. */
  readonly thread?: HashThread | undefined;
}

/** Looks at a module's zip while it passes: its `h1:`, or why the go command refuses it. Fits the inspector of any body. */
export function inspectModuleZip(options: ModuleZipOptions): HashInspection | ZipInspection {
  const { module, version, thread } = options;
  const of = { module, version };
  return thread === undefined ? new ZipInspection(of) : thread.inspectModuleZip(of);
}

/** Reads a module's zip from anything that yields its bytes, such as an open file. Rejects with what the body fails with. */
export async function hashModuleZip(
  body: AsyncIterable<Buffer>,
  options: ModuleZipOptions,
): Promise<ZipFindings> {
  const inspection = inspectModuleZip(options);
  try {
    for await (const piece of body) await inspection.write(piece);
    return await inspection.end();
  } finally {
    inspection.abort();
  }
}
