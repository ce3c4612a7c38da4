// Under another name: who bundles this may declare createRequire in a banner.
import { createRequire as requireFrom } from 'node:module';
import { Worker } from 'node:worker_threads';
import * as z from 'zod/mini';
import { messageOf } from '../errors.js';

/**
 * What a thread does, one call after the other, each of which may take as long as the kernel likes. It is a text
 * because a bundle has no second file for it. Buffers are copies of the caller's and go back with the result.
 */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const { openSync, closeSync } = require('node:fs');
const koffi = require(workerData.koffi);
// The program's own symbols, not libc.so.6: what a preloaded library answers is then seen (tests do).
const ioctl = koffi.load(null).func('ioctl', 'int', ['int', 'ulong', 'void *']);
const calls = {
  open: ({ path }) => ({ fd: openSync(path, 'r+') }),
  close: ({ fd }) => (closeSync(fd), {}),
  ioctl({ fd, request, argument, data, pointerAt }) {
    if (data !== undefined) {
      const view = new DataView(argument.buffer, argument.byteOffset);
      view.setBigUint64(pointerAt, koffi.address(data), true);
    }
    const failed = ioctl(fd, request, argument) !== 0;
    return { number: failed ? koffi.errno() : 0, argument, data };
  },
};
parentPort.on('message', (call) => {
  try {
    parentPort.postMessage(calls[call.name](call));
  } catch (error) {
    parentPort.postMessage({ errno: error.code ?? 'EIO' });
  }
});
`;

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const Answer = z.object({
  fd: z.optional(z.int()),
  /** An ioctl's errno; 0 where it went well. */
  number: z.optional(z.int()),
  argument: z.optional(bytes),
  data: z.optional(bytes),
  /** Of open and close. */
  errno: z.optional(z.string()),
});
type Answer = z.infer<typeof Answer>;

type Call =
  | { readonly name: 'open'; readonly path: string }
  | { readonly name: 'close'; readonly fd: number }
  | {
      readonly name: 'ioctl';
      readonly fd: number;
      readonly request: number;
      readonly argument: Uint8Array;
      readonly data?: Uint8Array | undefined;
      readonly pointerAt?: number | undefined;
    };

/** A buffer whose address stands in an ioctl's argument. */
export interface PointedData {
  readonly data: Uint8Array;
  /** Offset of the u64 that takes the address. */
  readonly pointerAt: number;
}

/** open(2) failed. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly errno: string;
  constructor(errno: string) {
    super(errno);
    this.errno = errno;
  }
}

/**
 * A thread of its own for system calls that may take half a minute. libuv's pool would do for one of them, but it has
 * four threads for a whole process: four slow devices would stop every other file operation.
 */
export class CallThread {
  readonly #worker: Worker;
  /** Calls without an answer yet, in the order in which the thread makes them. */
  readonly #waiting: {
    readonly resolve: (answer: Answer) => void;
    readonly reject: (cause: Error) => void;
  }[] = [];
  #broken: Error | undefined;

  constructor() {
    const koffi = requireFrom(import.meta.url).resolve('koffi');
    this.#worker = new Worker(PROGRAM, { eval: true, workerData: { koffi } });
    this.#worker.unref();
    this.#worker.on('message', (message: unknown) => {
      const answer = Answer.parse(message);
      this.#waiting.shift()?.resolve(answer);
      if (this.#waiting.length === 0) this.#worker.unref();
    });
    this.#worker.on('error', (cause) => {
      this.#broken = new Error(`the thread for system calls ended: ${messageOf(cause)}`, { cause });
      for (const { reject } of this.#waiting.splice(0)) reject(this.#broken);
    });
  }

  get usable(): boolean {
    return this.#broken === undefined;
  }

  /** For reading and writing. @throws CallError */
  async open(path: string): Promise<number> {
    const { fd, errno } = await this.#call({ name: 'open', path });
    if (fd === undefined) throw new CallError(errno ?? 'EIO');
    return fd;
  }

  /** @returns 0 or the errno, and what the kernel made of the buffers */
  async ioctl(
    fd: number,
    request: number,
    argument: Uint8Array,
    pointed?: PointedData,
  ): Promise<{ readonly errno: number; readonly argument: Uint8Array; readonly data: Uint8Array }> {
    const answer = await this.#call({ name: 'ioctl', fd, request, argument, ...pointed });
    if (answer.number === undefined || answer.argument === undefined)
      throw new CallError(answer.errno ?? 'EIO');
    return { errno: answer.number, argument: answer.argument, data: answer.data ?? new Uint8Array() };
  }

  async close(fd: number): Promise<void> {
    await this.#call({ name: 'close', fd });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  /** A call holds the process; a thread that waits for the next does not. */
  #call(call: Call): Promise<Answer> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(call);
    });
  }
}

/** Longer than the pause between two probes: who asks again and again does it on the same threads. */
const IDLE_MS = 15 * 60_000;

/**
 * Threads to ask devices on: as many as are busy at one time, each used again when it is free. What probes again and
 * again keeps them: each thread that ends leaves some 45 KiB behind in V8 and koffi (3.3.4, Node.js 20 and 24). One that
 * waits takes 8 MiB, so that they end where nothing was asked for long: answers are remembered, and most probes ask none.
 */
export class CallThreads {
  readonly #keep: number;
  readonly #free: CallThread[] = [];
  #idle: NodeJS.Timeout | undefined;

  /** @param keep how many stay when a probe is over */
  constructor(keep = 0) {
    this.#keep = keep;
  }

  take(): CallThread {
    return this.#free.pop() ?? new CallThread();
  }

  giveBack(thread: CallThread): void {
    if (!thread.usable) return;
    this.#free.push(thread);
    if (this.#keep === 0) return;
    this.#idle ??= setTimeout(() => {
      this.#idle = undefined;
      this.#end(0).catch(() => undefined);
    }, IDLE_MS).unref();
    this.#idle.refresh();
  }

  /** A probe is over: ends those that are free, but for the ones to keep. One that is busy is ended by a later call. */
  async rest(): Promise<void> {
    await this.#end(this.#keep);
  }

  async #end(kept: number): Promise<void> {
    await Promise.all(this.#free.splice(kept).map((thread) => thread.end()));
  }
}
