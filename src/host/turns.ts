import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work between two turns of the event loop, ms: an agent answers its kubelet meanwhile. */
const TURN_MS = 8;

/** To be awaited between pieces of long work: gives the event loop a turn when enough time has gone by since the last. */
export function turns(signal: AbortSignal | undefined): () => Promise<void> | undefined {
  let last = nowMs();
  const turn = async () => {
    await nextTurn(undefined, { signal });
    last = nowMs();
  };
  return () => (nowMs() - last > TURN_MS ? turn() : undefined);
}

/** Of a clock that is never set. Not `performance`, which Node 24 takes 3 ms to load. */
function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
