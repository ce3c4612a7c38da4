// npm run simulate -- [--nodes 1000 --nodes 5000] [--devices 64] [--vmis-per-node 5] [--json FILE]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundle } from '../bundle.mjs';

const dir = mkdtempSync(join(tmpdir(), 'vsmmu-simulate-'));
try {
  const outfile = await bundle(fileURLToPath(new URL('simulate.ts', import.meta.url)), dir, 'simulate.mjs');
  // The fleet of 5,000 nodes is more than Node.js takes by itself on a small machine.
  const { status } = spawnSync(
    process.execPath,
    ['--max-old-space-size=4096', outfile, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
    },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}
