import { spawn } from 'node:child_process';

/** Output kept per stream; what a program prints beyond it is cut from the middle. */
const KEPT_CHARACTERS = 16 * 1024 * 1024;

export class CommandError extends Error {
  /** @param {string} message @param {{ status: number | null, stdout: string, stderr: string }} result */
  constructor(message, result) {
    super(message);
    this.name = 'CommandError';
    Object.assign(this, result);
  }
}

/**
 * Programs started for one suite. Each leads its own process group, so that ending it ends what it started,
 * and nothing outlives the suite.
 */
export class Processes {
  /** @type {Set<import('node:child_process').ChildProcess>} */
  #running = new Set();
  #signal;

  /** @param {AbortSignal} signal aborted when the suite's time is over */
  constructor(signal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.endAll('SIGKILL'), { once: true });
  }

  /**
   * Starts a program that goes on running (a server, a guest).
   * @param {string} command @param {readonly string[]} args @param {import('node:child_process').SpawnOptions} options
   */
  start(command, args = [], options = {}) {
    this.#signal.throwIfAborted();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options, detached: true });
    this.#running.add(child);
    const forget = () => this.#running.delete(child);
    child.once('exit', forget).once('error', forget);
    return child;
  }

  /**
   * Runs a program to its end.
   * @param {string} command @param {readonly string[]} args
   * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, input?: string | Buffer, timeoutSeconds?: number, check?: boolean, label?: string }} options
   *   env is added to this process's; check (default true): any status but 0 is an error; label: what errors call the command.
   * @returns {Promise<{ status: number | null, stdout: string, stderr: string }>}
   */
  async run(
    command,
    args = [],
    { cwd, env, input, timeoutSeconds = 120, check = true, label = [command, ...args].join(' ') } = {},
  ) {
    const child = this.start(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.stdin.on('error', () => undefined); // a program may end before it has read its input
    child.stdin.end(input ?? '');
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      endGroup(child, 'SIGKILL');
    }, timeoutSeconds * 1000);
    try {
      const status = await new Promise((resolve, reject) => {
        child.once('error', reject).once('close', (code) => resolve(code));
      });
      this.#signal.throwIfAborted();
      const result = { status, stdout: stdout(), stderr: stderr() };
      if (timedOut) throw new CommandError(`${label}\nwas still running after ${timeoutSeconds} s`, result);
      if (check && status !== 0) {
        const said = `${result.stderr}\n${result.stdout}`.trim().slice(-4000);
        throw new CommandError(`${label}\nended with status ${status}\n${said}`, result);
      }
      return result;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {import('node:child_process').ChildProcess} child @param {NodeJS.Signals} signal */
  end(child, signal = 'SIGTERM') {
    endGroup(child, signal);
  }

  /** @param {NodeJS.Signals} signal */
  endAll(signal = 'SIGKILL') {
    for (const child of this.#running) endGroup(child, signal);
  }
}

function endGroup(child, signal) {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function collect(stream) {
  const chunks = [];
  let length = 0;
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    if (length < KEPT_CHARACTERS) chunks.push(chunk);
    length += chunk.length;
  });
  return () => chunks.join('') + (length > KEPT_CHARACTERS ? '\n[output cut]\n' : '');
}
