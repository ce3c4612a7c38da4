import { performance } from 'node:perf_hooks';

import type { CliIo } from '../io.js';

interface Done {
  readonly title: string;
  readonly outcome: string;
  readonly milliseconds: number;
}

/** Shows the steps one after the other, and at the end what was done and how long each took. */
export class Stage {
  readonly #io: CliIo;
  readonly #done: Done[] = [];

  constructor(io: CliIo) {
    this.#io = io;
  }

  /** @param run does the step, says what it shows, and returns the outcome in one sentence */
  async step(title: string, run: () => Promise<string>): Promise<void> {
    this.say(`\n${this.#bold(`${this.#done.length + 1}. ${title}`)}\n`);
    const begun = performance.now();
    const outcome = await run();
    this.#done.push({ title, outcome, milliseconds: performance.now() - begun });
  }

  say(text: string): void {
    this.#io.stdout.write(text);
  }

  command(line: string): void {
    this.say(`${this.#dim(`$ ${line}`)}\n`);
  }

  summary(): void {
    this.say(`\n${this.#bold('What was done')}\n`);
    const width = Math.max(...this.#done.map(({ title }) => title.length));
    for (const { title, outcome, milliseconds } of this.#done)
      this.say(`  ${title.padEnd(width)}  ${milliseconds.toFixed(0).padStart(5)} ms  ${outcome}\n`);
  }

  #bold(text: string): string {
    return this.#io.color ? `\u001b[1m${text}\u001b[0m` : text;
  }

  #dim(text: string): string {
    return this.#io.color ? `\u001b[2m${text}\u001b[0m` : text;
  }
}
