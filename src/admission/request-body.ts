import type { IncomingMessage } from 'node:http';

/** Why a body was not taken. */
export type BodyRefusal = 'too-large' | 'too-many' | 'timeout' | 'aborted';
export type ReadBody =
  { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly refusal: BodyRefusal };

/**
 * How long the rest of a body that is too large is read and thrown away. Answering and closing at once would
 * reset the connection, and the caller would never see why.
 */
const LINGER_MS = 1000;

/**
 * Bytes of bodies that all requests together may hold: whoever reaches the port may send as many large ones as there
 * are requests at once.
 */
export class BodyBudget {
  #left: number;

  constructor(maxBytes: number) {
    this.#left = maxBytes;
  }

  /** @returns false, and nothing is taken, where there is not so much left */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#left += bytes;
  }
}

export interface BodyLimits {
  readonly maxBytes: number;
  readonly patienceMs: number;
  /** What a body that was read takes of it, its reader gives back; any other gives back by itself. */
  readonly budget: BodyBudget;
}

/** Reads a request's body; `done` is called once. */
export function readBody(
  request: IncomingMessage,
  { maxBytes, patienceMs, budget }: BodyLimits,
  done: (body: ReadBody) => void,
): void {
  let chunks: Buffer[] = [];
  let size = 0;
  let refusal: BodyRefusal | undefined;
  let settled = false;
  let timer = setTimeout(() => settle({ ok: false, refusal: 'timeout' }), patienceMs);

  const release = () => {
    budget.give(chunks.reduce((sum, { length }) => sum + length, 0));
    chunks = [];
  };
  const settle = (result: ReadBody) => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    if (!result.ok) release();
    done(result);
  };
  const discard = (because: BodyRefusal) => {
    refusal = because;
    release();
    clearTimeout(timer);
    timer = setTimeout(onEnd, Math.min(LINGER_MS, patienceMs));
  };
  const onData = (chunk: Buffer) => {
    if (settled || refusal !== undefined) return;
    size += chunk.length;
    if (size > maxBytes) discard('too-large');
    else if (budget.take(chunk.length)) chunks.push(chunk);
    else discard('too-many');
  };
  const onEnd = () => settle(refusal === undefined ? whole(chunks, size) : { ok: false, refusal });
  const onClose = () => settle({ ok: false, refusal: 'aborted' });

  if (Number(request.headers['content-length'] ?? 0) > maxBytes) discard('too-large');
  request.on('data', onData).on('end', onEnd).on('close', onClose);
  // An error is followed by close; without a listener it would end the process.
  request.on('error', ignore);
}

function ignore(): void {}

function whole(chunks: readonly Buffer[], size: number): ReadBody {
  const [only] = chunks;
  return { ok: true, bytes: only?.length === size ? only : Buffer.concat(chunks, size) };
}
