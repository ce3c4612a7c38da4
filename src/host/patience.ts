import type { Bdf } from '../bdf.js';
import type { DeviceReplies } from './hw-info.js';

/** Waits for all devices together no longer than the caller wants to. */
export class Patience {
  readonly #end: number | undefined;

  /** @param ms undefined: without end */
  constructor(ms: number | undefined) {
    this.#end = ms === undefined ? undefined : performance.now() + ms;
  }

  /** When time is over nothing more is asked: members of one group must not be asked side by side. */
  async waitFor(ask: () => Promise<DeviceReplies>, bdf: Bdf): Promise<DeviceReplies> {
    if (this.#end === undefined) return ask();
    const left = this.#end - performance.now();
    if (left <= 0) return pending(bdf);
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<DeviceReplies>((resolve) => {
      timer = setTimeout(() => resolve(pending(bdf)), left);
    });
    try {
      return await Promise.race([ask(), over]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function pending(bdf: Bdf): DeviceReplies {
  const reply = {
    kind: 'not-asked',
    because: 'it has not answered yet; some drivers take 30 s and more to open a device',
    remedy: 'Probe again in a while.',
    source: `IOMMU_GET_HW_INFO of ${bdf}`,
    code: 'PROBE_PENDING',
  } as const;
  return { hwInfo: reply, cmdqv: reply, nesting: reply, evidence: [], findings: [] };
}
