import { Option } from 'commander';

import type { MapOptions } from './commands/map.js';
import { type Declare, hostOption } from './declaration.js';

/** Commands about many hosts, and the picture of one. */
export const declareFleetCommands: Declare = (program, io, finish) => {
  declareMap(program, io, finish);
};

const declareMap: Declare = (program, io, finish) => {
  program
    .command('map')
    .description(
      "Draw a host's topology: SMMUs, root complexes, IOMMU groups, devices, and what each can do.",
    )
    .addOption(hostOption())
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'svg']).default('text'))
    .addHelpText('after', '\nExample:\n  vsmmu map --host ./node1 -o svg > node1.svg')
    .action(async (options: MapOptions) => {
      const { runMap } = await import('./commands/map.js');
      finish(await runMap(options, io));
    });
};
