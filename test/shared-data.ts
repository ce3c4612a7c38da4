import { join, resolve } from 'node:path';

/**
 * Recordings, domains and schemas that stand beside the project, not in it. A test whose data is missing is skipped
 * by name, with "needs the shared ..." in it.
 */
export function sharedData(...path: readonly string[]): string {
  return join(resolve(process.env['VSMMU_SHARED_DATA'] ?? '../shared/data'), ...path);
}
