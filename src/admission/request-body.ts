import type { IncomingMessage } from 'node:http';

/** Why a body was not taken. */
export type BodyRefusal = 'too-large' | 'timeout' | 'aborted';
export type ReadBody =
  { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly refusal: BodyRefusal };

/**
 * How long the rest of a body that is too large is read and thrown away. Answering and closing at once would
 * reset the connection, and the caller would never see why.
 */
const LINGER_MS = 1000;

/** Reads a request's body, of at most `maxBytes` bytes, for at most `patienceMs`. Never rejects. */
export function readBody(request: IncomingMessage, maxBytes: number, patienceMs: number): Promise<ReadBody> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = [];
    let size = 0;
    let refusal: BodyRefusal | undefined;
    let timer = setTimeout(() => settle({ ok: false, refusal: 'timeout' }), patienceMs);

    const settle = (result: ReadBody) => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose);
      resolve(result);
    };
    const discard = () => {
      refusal = 'too-large';
      chunks = [];
      clearTimeout(timer);
      timer = setTimeout(onEnd, Math.min(LINGER_MS, patienceMs));
    };
    const onData = (chunk: Buffer) => {
      if (refusal !== undefined) return;
      size += chunk.length;
      if (size > maxBytes) discard();
      else chunks.push(chunk);
    };
    const onEnd = () =>
      settle(
        refusal === undefined ? { ok: true, bytes: Buffer.concat(chunks, size) } : { ok: false, refusal },
      );
    const onClose = () => settle({ ok: false, refusal: 'aborted' });

    if (Number(request.headers['content-length'] ?? 0) > maxBytes) discard();
    request.on('data', onData).on('end', onEnd).on('close', onClose);
    // An error is followed by close; without a listener it would end the process.
    request.on('error', () => undefined);
  });
}
