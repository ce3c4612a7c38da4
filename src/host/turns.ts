import { setImmediate as nextTurn } from 'node:timers/promises';

/** Work between two turns of the event loop, ms: an agent answers its kubelet meanwhile. */
const TURN_MS = 8;

/** To be awaited between pieces of long work: gives the event loop a turn when enough time has gone by since the last. */
export function turns(signal: AbortSignal | undefined): () => Promise<void> | undefined {
  let last = performance.now();
  const turn = async () => {
    await nextTurn(undefined, { signal });
    last = performance.now();
  };
  return () => (performance.now() - last > TURN_MS ? turn() : undefined);
}
