import { giveBack, openMemoryCalls, type MemoryCalls } from './give-back.js';

export interface GiveBackOptions {
  readonly open?: () => Promise<MemoryCalls | undefined>;
  readonly release?: (calls: MemoryCalls) => void;
  /** VSMMU_GIVE_BACK=never: for who debugs, and to measure what it gives. */
  readonly env: NodeJS.ProcessEnv;
}

export interface KeepSmallOptions extends GiveBackOptions {
  /** Resident memory now, bytes. */
  readonly resident?: () => number;
  /** The longest time between two looks, ms. */
  readonly atMostMs: number;
}

/** Gives back once, now: for who has loaded all that its work needs, before that work comes. It never fails. */
export async function giveBackNow(options: GiveBackOptions): Promise<void> {
  const { open = openMemoryCalls, release = giveBack, env } = options;
  if (env['VSMMU_GIVE_BACK'] === 'never') return;
  try {
    const calls = await open();
    if (calls !== undefined) release(calls);
  } catch {
    // Memory that is not given back is no fault.
  }
}

/** The start is over by then, or gets its pages back from the page cache. */
const FIRST_LOOK_MS = 1_000;
/** What may come back before it is given up again; the pages that work needs are some 8 MiB. */
const GROWTH = 16 * 1024 * 1024;

/**
 * Gives back what the process no longer needs: once after its start, and again when it has grown since. A look costs
 * one read of /proc/self/stat; giving back 2 to 5 ms. While nothing comes of them, looks get rarer. It holds no process
 * alive, and where the memory can't be given back nothing happens.
 */
export async function keepSmall(signal: AbortSignal, options: KeepSmallOptions): Promise<void> {
  const { resident = () => process.memoryUsage.rss(), open = openMemoryCalls, release = giveBack } = options;
  if (options.env['VSMMU_GIVE_BACK'] === 'never') return;
  let calls: MemoryCalls | undefined;
  let limit = 0;
  let waitMs = FIRST_LOOK_MS;
  while (await later(waitMs, signal)) {
    try {
      if (resident() <= limit) {
        waitMs = Math.min(2 * waitMs, options.atMostMs);
        continue;
      }
      calls ??= await open();
      if (calls === undefined) return;
      release(calls);
      limit = resident() + GROWTH;
      waitMs = FIRST_LOOK_MS;
    } catch {
      // It takes a file of /proc, and no more may be opened now (EMFILE): nothing that a process may end of.
      waitMs = options.atMostMs;
    }
  }
}

/** @returns false where the signal ended the wait */
function later(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve(true);
    }, ms).unref();
    signal.addEventListener('abort', stop, { once: true });
  });
}
