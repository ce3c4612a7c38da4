import { basename, resolve } from 'node:path';

import { ExitStatus, VsmmuError } from '../errors.js';

/**
 * Recordings by name: a host's name is its folder's.
 *
 * @throws VsmmuError USAGE where two folders would have one name
 */
export function namedHosts(dirs: readonly string[]): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const dir of dirs) {
    const name = basename(resolve(dir));
    const other = named.get(name);
    if (other !== undefined && resolve(other) !== resolve(dir))
      throw new VsmmuError('USAGE', `${other} and ${dir} would both be called "${name}"`, {
        place: '--host',
        remedy: 'Rename one of the folders.',
        exitStatus: ExitStatus.usage,
      });
    named.set(name, dir);
  }
  return named;
}
