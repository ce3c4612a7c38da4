// npm run simulate -- [--nodes 1000 --nodes 5000] [--devices 64] [--vmis-per-node 5] [--json FILE]
import { fileURLToPath } from 'node:url';
import { runModule } from '../bundle.mjs';

process.exitCode = await runModule(
  fileURLToPath(new URL('simulate.ts', import.meta.url)),
  process.argv.slice(2),
  // The fleet of 5,000 nodes is more than Node.js takes by itself on a small machine.
  { nodeOptions: ['--max-old-space-size=4096'] },
);
