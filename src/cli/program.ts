import { Command, CommanderError, Option } from 'commander';

import { ExitStatus, VsmmuError } from '../errors.js';
import type { CliIo } from './io.js';
import { OUTPUT_FORMATS, type OutputFormat } from './output.js';
import { renderError } from './render-error.js';
import { version } from './version.js';

/**
 * Runs one command line. Each command's code is imported only when it is called: `vsmmu version` must not
 * pay for gRPC, nor a hook in a VM's pod for the XML of the command line.
 */
export async function runProgram(args: readonly string[], io: CliIo): Promise<ExitStatus> {
  let status: ExitStatus = ExitStatus.ok;
  const program = createProgram(io, (result) => {
    status = result;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitStatus.ok : ExitStatus.usage;
    io.stderr.write(renderError(error));
    return error instanceof VsmmuError ? error.exitStatus : ExitStatus.failed;
  }
}

type Finish = (status: ExitStatus) => void;

function createProgram(io: CliIo, finish: Finish): Command {
  const program = new Command('vsmmu')
    .description('Tells virtual SMMUv3s what the physical ones can do.')
    .version(version, '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => {
        write(`error[USAGE]: ${text.replace(/^error: /, '')}`);
      },
    })
    .showHelpAfterError('(vsmmu --help lists the commands)')
    .addHelpText('after', '\nExit status: 0 ok, 1 findings, 2 usage, 3 unreachable or failed.');

  addVersion(program, io);
  addResolve(program, io, finish);
  addBaseline(program, io, finish);
  return program;
}

const hostOption = () =>
  new Option('--host <dir>', 'a recording of a host (docs/recording-format.md) instead of this machine');

const outputOption = (...more: readonly string[]) =>
  new Option('-o, --output <format>', 'output format').choices([...OUTPUT_FORMATS, ...more]).default('table');

function addVersion(program: Command, io: CliIo): void {
  program
    .command('version')
    .description('Print the version.')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .action((options: { output: 'text' | 'json' }) => {
      const json = () => JSON.stringify({ version, node: process.version });
      io.stdout.write(`${options.output === 'json' ? json() : version}\n`);
    });
}

interface ResolveOptions {
  readonly batch: boolean;
  readonly host?: string;
  readonly node?: string;
  readonly output: 'table' | 'json' | 'yaml' | 'annotation';
}

function addResolve(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('resolve')
    .description("Resolve what a vSMMU gets: from a host, or from JSON Lines (--batch, FILE or '-').")
    .argument('[file]', 'with --batch: the JSON Lines', '-')
    .option('--batch', 'read JSON Lines, write one JSON line each', false)
    .addOption(hostOption())
    .option('--node <name>', "with -o annotation: the node's name")
    .addOption(outputOption('annotation'))
    .addHelpText(
      'after',
      '\nExamples:\n  vsmmu resolve\n  vsmmu resolve --host ./node1 -o annotation\n  vsmmu resolve --batch requests.jsonl',
    )
    .action(async (file: string, options: ResolveOptions) => {
      if (options.batch) {
        const { runResolveBatch } = await import('./commands/resolve-batch.js');
        finish(await runResolveBatch(file, io));
      } else {
        const { runResolveHost } = await import('./commands/resolve-host.js');
        finish(await runResolveHost(options, io));
      }
    });
}

function addBaseline(program: Command, io: CliIo, finish: Finish): void {
  program
    .command('baseline')
    .description('What every host of a set can honour, who limits it, and who cannot take part.')
    .addOption(hostOption().argParser(collect).default([], 'none'))
    .addOption(outputOption())
    .addHelpText('after', '\nExample:\n  vsmmu baseline --host ./node1 --host ./node2 -o json')
    .action(async ({ host, output }: { host: readonly string[]; output: OutputFormat }) => {
      const { runBaseline } = await import('./commands/baseline.js');
      finish(await runBaseline({ hosts: host, output }, io));
    });
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
