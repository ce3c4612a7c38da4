import { Command, CommanderError } from 'commander';

import { ExitStatus, VsmmuError } from '../errors.js';
import { declareAgent } from './declare-agent.js';
import { declareClusterCommands } from './declare-cluster.js';
import { declareDomainCommands } from './declare-domain.js';
import { declareFleetCommands } from './declare-fleet.js';
import { declareHostCommands } from './declare-host.js';
import { declareOperations } from './declare-operations.js';
import { declareReader } from './declare-reader.js';
import { declareShellCommands } from './declare-shell.js';
import { declareVersion } from './declare-version.js';
import type { Finish } from './declaration.js';
import type { CliIo } from './io.js';
import { renderError } from './render-error.js';
import { version } from './version.js';

/**
 * Runs one command line. Each command's code is imported only when it is called: `vsmmu version` must not
 * pay for gRPC, nor a hook in a VM's pod for the tables of the command line.
 */
export async function runProgram(args: readonly string[], io: CliIo, name = 'vsmmu'): Promise<ExitStatus> {
  let status: ExitStatus = ExitStatus.ok;
  const program = createProgram(io, (result) => {
    status = result;
  }).name(name);
  try {
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitStatus.ok : ExitStatus.usage;
    io.stderr.write(renderError(error));
    return error instanceof VsmmuError ? error.exitStatus : ExitStatus.failed;
  }
}

/** The whole command tree; the reference pages and completions are made from it too. */
export function createProgram(io: CliIo, finish: Finish): Command {
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
    .showHelpAfterError('(--help lists the commands and options)')
    .addHelpText('after', '\nExit status: 0 ok, 1 findings, 2 usage, 3 unreachable or failed.');

  for (const declare of [
    declareHostCommands,
    declareDomainCommands,
    declareAgent,
    declareReader,
    declareClusterCommands,
    declareFleetCommands,
    declareOperations,
    declareShellCommands,
    declareVersion,
  ])
    declare(program, io, finish);
  return program;
}
