import { Option } from 'commander';

import type { Declare } from './declaration.js';
import { version } from './version.js';

export const declareVersion: Declare = (program, io) => {
  program
    .command('version')
    .description('Print the version.')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .addHelpText('after', '\nExample:\n  vsmmu version -o json')
    .action((options: { output: 'text' | 'json' }) => {
      const json = () => JSON.stringify({ version, node: process.version });
      io.stdout.write(`${options.output === 'json' ? json() : version}\n`);
    });
};
