/** Thrown where something needed is not to be had here (a package, a device, a tool): not a failure, and never a pass. */
export class NotRun extends Error {
  /** @param {string} why */
  constructor(why, options) {
    super(why, options);
    this.name = 'NotRun';
  }
}

/** @typedef {{ suite: string, check: string, outcome: 'passed' | 'failed' | 'not run', why: string, seconds: number }} Result */

/** What became of every check, printed as it happens and summed up at the end. */
export class Ledger {
  /** @type {Result[]} */
  results = [];
  #write;

  /** @param {(text: string) => void} write */
  constructor(write) {
    this.#write = write;
  }

  /** @param {Result} result */
  add(result) {
    this.results.push(result);
    const time = result.seconds >= 1 ? ` (${result.seconds.toFixed(1)} s)` : '';
    const why = result.why === '' ? '' : `: ${indentAfterFirstLine(result.why)}`;
    this.#write(`  ${result.outcome.padEnd(7)}  ${result.suite} > ${result.check}${time}${why}\n`);
  }

  /** @param {Result['outcome']} outcome */
  count(outcome) {
    return this.results.filter((result) => result.outcome === outcome).length;
  }

  /** @param {string} suite @param {string} check */
  has(suite, check) {
    return this.results.some((result) => result.suite === suite && result.check === check);
  }

  summary() {
    const lines = [];
    for (const outcome of /** @type {const} */ (['failed', 'not run'])) {
      const these = this.results.filter((result) => result.outcome === outcome);
      if (these.length > 0) lines.push('', `${outcome === 'failed' ? 'Failed' : 'Not run'}:`);
      for (const { suite, check, why } of these) lines.push(`  ${suite} > ${check}: ${firstLine(why)}`);
    }
    const [passed, failed, notRun] = [this.count('passed'), this.count('failed'), this.count('not run')];
    return [...lines, '', `${passed} passed, ${failed} failed, ${notRun} not run`, ''].join('\n');
  }
}

function firstLine(text) {
  return text.split('\n', 1)[0];
}

function indentAfterFirstLine(text) {
  return text.trimEnd().replaceAll('\n', '\n           ');
}
