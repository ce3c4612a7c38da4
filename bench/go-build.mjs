import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * Builds a floor written in Go.
 * @param source "bench/go-hook"
 * @returns the program, or why there is none
 */
export async function buildGo(source, program) {
  try {
    const env = { ...process.env, GOTOOLCHAIN: 'local', CGO_ENABLED: '0' };
    await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: source, env, timeout: 300_000 });
    return { program };
  } catch (error) {
    return { why: error.code === 'ENOENT' ? 'there is no Go' : String(error.message).split('\n')[0] };
  }
}
