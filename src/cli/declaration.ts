import { type Command, Option } from 'commander';

import type { ExitStatus } from '../errors.js';
import type { CliIo } from './io.js';
import { OUTPUT_FORMATS } from './output-format.js';

/** Tells the program how the command ended. */
export type Finish = (status: ExitStatus) => void;

/** Adds commands to the program. Their code is imported by the action, not here. */
export type Declare = (program: Command, io: CliIo, finish: Finish) => void;

export const hostOption = () =>
  new Option('--host <dir>', 'a recording of a host (docs/recording-format.md) instead of this machine');

export const outputOption = (...more: readonly string[]) =>
  new Option('-o, --output <format>', 'output format').choices([...OUTPUT_FORMATS, ...more]).default('table');
