import type { CommandModel, OptionModel } from '../command-model.js';

/** Shells a completion can be made for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** What may follow a command: its subcommands and options, and `--help` everywhere. */
export function wordsOf({ subcommands, options }: CommandModel): string[] {
  return [...subcommands.map(nameOf), ...options.map(({ long }) => long), '--help'];
}

/** The last word of the command's path. */
export function nameOf({ path }: CommandModel): string {
  return path.slice(path.lastIndexOf(' ') + 1);
}

/** "-o" and "--output". */
export function namesOf({ short, long }: OptionModel): string[] {
  return short === undefined ? [long] : [short, long];
}

/** Does the option's value name a file or a folder? */
export function completesFiles({ value }: OptionModel): boolean {
  return value === 'file' || value === 'dir';
}
