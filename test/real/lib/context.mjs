import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Apt } from './apt.mjs';
import { NotRun } from './outcome.mjs';
import { Processes } from './process.mjs';

/** Pause before each further try of a download; an archive's hiccup is over within seconds. */
const PAUSES_SECONDS = [2, 10, 30];

/** What a suite is given: its checks, its programs, its cache, the package manager. */
export class Context {
  /** The repository's root. */
  root;
  /** A copy of the built command-line program: run it as `ctx.run(process.execPath, [ctx.vsmmu, ...])`. */
  vsmmu;
  /** Aborted when the suite's time is over. */
  signal;
  apt;
  #suite;
  #ledger;
  #cache;
  #processes;
  #planned = [];
  #endsAt;
  #write;

  constructor({ root, vsmmu, suite, ledger, cache, signal, write, planned, endsAt }) {
    this.root = root;
    this.vsmmu = vsmmu;
    this.signal = signal;
    this.#suite = suite;
    this.#ledger = ledger;
    this.#cache = cache;
    this.#write = write;
    this.#planned = [...planned];
    this.#endsAt = endsAt;
    this.#processes = new Processes(signal);
    this.apt = new Apt(this);
  }

  /**
   * Runs one check. It passes when fn returns, is not run when fn throws NotRun, fails when fn throws anything else.
   * A failed check doesn't end the suite.
   * @param {string} name @param {() => unknown} fn @returns {Promise<boolean>} did it pass?
   */
  async check(name, fn) {
    const start = performance.now();
    let outcome = 'passed';
    let why = '';
    try {
      await fn();
      this.signal.throwIfAborted();
    } catch (error) {
      if (this.signal.aborted) throw this.signal.reason;
      outcome = error instanceof NotRun ? 'not run' : 'failed';
      why = error instanceof NotRun ? error.message : explain(error);
    }
    this.#ledger.add({
      suite: this.#suite,
      check: name,
      outcome,
      why,
      seconds: (performance.now() - start) / 1000,
    });
    return outcome === 'passed';
  }

  /** @param {string} name @param {string} why */
  notRun(name, why) {
    this.#ledger.add({ suite: this.#suite, check: name, outcome: 'not run', why, seconds: 0 });
  }

  /** Names checks that are to come: those that the suite then never reaches are reported as not run. */
  plan(...names) {
    this.#planned.push(...names);
  }

  /** Names of planned checks without a result so far. */
  unreached() {
    return this.#planned.filter((name) => !this.#ledger.has(this.#suite, name));
  }

  /** Runs a program to its end; see Processes.run. */
  run(command, args, options) {
    return this.#processes.run(command, args, options);
  }

  /** Starts a program that goes on running; it is ended with the suite. */
  start(command, args, options) {
    return this.#processes.start(command, args, options);
  }

  /** Ends a program of start(), and whatever it started. */
  end(child, signal) {
    this.#processes.end(child, signal);
  }

  /**
   * For what goes over the network: tried four times, then "not run" with the last error. Never for product code.
   * @template T @param {string} what @param {() => Promise<T>} fn @returns {Promise<T>}
   */
  async retry(what, fn) {
    for (let attempt = 0; ; attempt++) {
      try {
        return await fn();
      } catch (error) {
        if (this.signal.aborted || error instanceof NotRun) throw error;
        const pause = PAUSES_SECONDS[attempt];
        if (pause === undefined) throw new NotRun(`${what}: ${explain(error)}`, { cause: error });
        this.log(`${what} failed, trying again in ${pause} s`);
        await this.#pause(pause);
      }
    }
  }

  /** A folder under .cache/real that lives on between runs. @param {...string} names */
  async cache(...names) {
    const folder = join(this.#cache, ...names);
    await mkdir(folder, { recursive: true });
    return folder;
  }

  /** Of the suite's time, for a suite that has the choice. */
  minutesLeft() {
    return (this.#endsAt - performance.now()) / 60_000;
  }

  /** @param {string} line */
  log(line) {
    this.#write(`    … ${line}\n`);
  }

  /** Ends everything that the suite left running. */
  close() {
    this.#processes.endAll();
  }

  #pause(seconds) {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer);
        reject(this.signal.reason);
      };
      const timer = setTimeout(() => {
        this.signal.removeEventListener('abort', onAbort);
        resolve();
      }, seconds * 1000);
      this.signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** @param {unknown} error */
export function explain(error) {
  if (!(error instanceof Error)) return String(error);
  // An assertion's stack says which line of the suite; a command's message says all.
  return error.name === 'CommandError' ? error.message : (error.stack ?? error.message);
}
