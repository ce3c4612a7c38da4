import { ExitStatus } from '../../errors.js';
import type { CommandModel } from '../command-model.js';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import type { Shell } from '../completion/words.js';
import { zshCompletion } from '../completion/zsh.js';
import type { CliIo } from '../io.js';
import { write } from '../write.js';

const SCRIPTS: Readonly<Record<Shell, (program: CommandModel) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** `vsmmu completion SHELL`: a script for the shell, made from the commands as they are declared. */
export async function runCompletion(shell: Shell, program: CommandModel, io: CliIo): Promise<ExitStatus> {
  await write(io.stdout, SCRIPTS[shell](program));
  return ExitStatus.ok;
}
