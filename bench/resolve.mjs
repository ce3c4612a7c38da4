import { build } from 'esbuild';

export const title = 'one line of vsmmu resolve --batch, beside parsing its JSON alone';

export async function run(measure) {
  const { resolveLine } = await bundled('src/cli/commands/resolve-batch.ts');
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

async function bundled(entry) {
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
  });
  return import(
    `data:text/javascript;base64,${Buffer.from(result.outputFiles[0].contents).toString('base64')}`
  );
}
