import { InvalidArgumentError, Option } from 'commander';

import type { ReaderCommandOptions } from './commands/reader.js';
import type { Declare } from './declaration.js';

/** The privileged half of the node's part. */
export const declareReader: Declare = (program, io, finish) => {
  program
    .command('reader')
    .description(
      "Ask the kernel what needs privilege, and keep it in /run/vsmmu for 'vsmmu agent --no-bind'.",
    )
    .option('--once', 'read once and end', false)
    .option('--rescan-seconds <n>', 'look at the host again at least so often', rescanSeconds, 300)
    .addOption(
      new Option('--log-level <level>', 'what is logged')
        .choices(['error', 'warn', 'info', 'debug'])
        .default('info'),
    )
    .addOption(new Option('--log-format <format>', 'of log lines').choices(['json', 'text']).default('json'))
    .addHelpText('after', '\nExample:\n  vsmmu reader --once --log-format text')
    .action(async (options: ReaderCommandOptions) => {
      const { runReader } = await import('./commands/reader.js');
      finish(await runReader(options, io));
    });
};

function rescanSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d{1,5}$/.test(text) || seconds === 0)
    throw new InvalidArgumentError('Write whole seconds, 1 to 99999.');
  return seconds;
}
