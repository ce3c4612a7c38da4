import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { bundle } from './bundle.mjs';

export const title = 'one line of vsmmu resolve --batch, beside parsing its JSON alone';

export async function run(measure) {
  const { resolveLine } = await loadProduct();
  for (const devices of [1, 8, 64]) {
    const line = JSON.stringify(request(devices));
    measure.pair(
      'ms',
      [`resolve, ${devices} device(s)`, measure.time(() => resolveLine(line))],
      [`JSON.parse, ${devices} device(s)`, measure.time(() => JSON.parse(line))],
    );
  }
}

function request(count) {
  const device = (index) => ({
    bdf: `0009:${(index + 1).toString(16).padStart(2, '0')}:00.0`,
    smmu: 'smmu3.0x1',
    idr: [223090331, 41092368, 0, 5124, 0, 117],
    dataType: 2,
    capabilities: '0x1',
    kernelReportsAts: true,
    maxPasidLog2: 20,
    atsCapability: true,
    ats: 'auto',
    coldPlugged: true,
  });
  return {
    vsmmu: { accel: true, cmdqv: 'off' },
    devices: Array.from({ length: count }, (_, i) => device(i)),
  };
}

async function loadProduct() {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-bench-'));
  try {
    return await import(await bundle('src/cli/commands/resolve-batch.ts', dir, 'product.mjs'));
  } finally {
    rmSync(dir, { recursive: true });
  }
}
