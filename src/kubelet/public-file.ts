import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes a file that other users read, a container runtime's or a VM's, whatever this process' umask is. It is replaced
 * as a whole: killed at any moment, the former stands or the new one. Failures are thrown as they come.
 */
export function writePublicFile(path: string, text: string): void {
  const dir = dirname(path);
  // Of no kind that the readers of these folders take: they know files by their ending.
  const temporary = join(dir, `.${basename(path)}.${process.pid}`);
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    writeFileSync(temporary, text);
    chmodSync(temporary, 0o644);
    renameSync(temporary, path);
  } catch (error) {
    discard(temporary);
    throw error;
  }
}

function discard(temporary: string): void {
  try {
    rmSync(temporary, { force: true });
  } catch {
    // What kept it from being written keeps it from being there; why is told by the first error.
  }
}
