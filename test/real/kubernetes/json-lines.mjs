import { createInterface } from 'node:readline';

/** What a program of test/real/go said no to. */
export class RequestError extends Error {
  name = 'RequestError';
}

/** A program of test/real/go that answers JSON lines; see internal/jsonlines there. */
export class JsonLinesProgram {
  /** Lines that answer no request: { event, value }. */
  events = [];
  #child;
  #next = 1;
  #open = new Map();
  #said = '';
  #over = false;
  /** Resolves when the program has ended. */
  ended;

  /** @param {import('node:child_process').ChildProcess} child with its stdin, stdout and stderr piped */
  constructor(child) {
    this.#child = child;
    child.stdin.on('error', () => undefined); // reported by what waits for an answer
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#said = (this.#said + text).slice(-20_000);
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#receive(JSON.parse(line)));
    this.ended = new Promise((resolve) => {
      const end = (how) => {
        this.#over = true;
        if (how instanceof Error) this.#said += String(how);
        for (const { reject } of this.#open.values()) reject(new Error(`the program ended\n${this.#said}`));
        this.#open.clear();
        resolve();
      };
      child.once('close', end).once('error', end);
    });
  }

  /** Sends a request. @returns {Promise<any>} its result @throws {RequestError} with the program's own words */
  call(op, params = {}) {
    if (this.#over) return Promise.reject(new Error(`the program has ended\n${this.#said}`));
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, op, params })}\n`);
    });
    answer.catch(() => undefined); // a caller that failed meanwhile waits for no answer
    return answer;
  }

  /** The last of what it logged. */
  get log() {
    return this.#said;
  }

  /** Holds it still (SIGSTOP), or lets it go on (SIGCONT). */
  signal(name) {
    this.#child.kill(name);
  }

  /** Ends at once, as a crash would. */
  async kill() {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  #receive(message) {
    if (message.id === undefined) {
      this.events.push(message);
      return;
    }
    const waiting = this.#open.get(message.id);
    this.#open.delete(message.id);
    if (message.error !== undefined) waiting?.reject(new RequestError(message.error));
    else waiting?.resolve(message.result);
  }
}
