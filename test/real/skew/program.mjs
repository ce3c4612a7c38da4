import { once } from 'node:events';
import { eventually } from '../kubernetes/eventually.mjs';

/** One running program of either version. */
export class Program {
  said = '';
  written = '';
  #ctx;
  #child;

  constructor(ctx, vsmmu, args, env = {}) {
    this.#ctx = ctx;
    this.#child = ctx.start(process.execPath, [vsmmu, ...args], { env: { ...process.env, ...env } });
    this.#child.stdout.on('data', (text) => (this.written += text));
    this.#child.stderr.on('data', (text) => (this.said = (this.said + text).slice(-20_000)));
  }

  /** Until a line of its output or log says so. */
  says(pattern) {
    return eventually(
      `it says ${pattern}`,
      () => {
        if (this.#child.exitCode !== null) throw new Error(`it ended\n${this.said}`);
        return pattern.test(this.written + this.said);
      },
      60,
    );
  }

  /** @returns {Promise<number | null>} its exit status */
  async end() {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, 'exit');
    this.#ctx.end(this.#child, 'SIGTERM');
    return (await exited)[0];
  }
}
