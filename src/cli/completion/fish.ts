import { allCommands, type CommandModel, type OptionModel } from '../command-model.js';
import { completesFiles, nameOf } from './words.js';

/** A script for fish 3. */
export function fishCompletion(program: CommandModel): string {
  const lines = allCommands(program).flatMap((command) => [
    ...command.subcommands.map(
      (child) =>
        `complete -c vsmmu -f -n ${atCommand(command)} -a ${nameOf(child)} -d ${quoted(child.description)}`,
    ),
    ...command.options.map((option) => `complete -c vsmmu -n ${inCommand(command)} ${optionWords(option)}`),
  ]);
  return `# fish completion for vsmmu: vsmmu completion fish | source\n${lines.join('\n')}\n`;
}

/** The command is there and none of its subcommands yet. */
function atCommand({ path, subcommands }: CommandModel): string {
  const words = path.split(' ').slice(1);
  const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
  const none = `not __fish_seen_subcommand_from ${subcommands.map(nameOf).join(' ')}`;
  return quoted([...seen, none].join('; and '));
}

function inCommand({ path, subcommands }: CommandModel): string {
  const words = path.split(' ').slice(1);
  const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
  if (seen.length > 0) return quoted(seen.join('; and '));
  return quoted(`not __fish_seen_subcommand_from ${subcommands.map(nameOf).join(' ')}`);
}

function optionWords(option: OptionModel): string {
  const short = option.short === undefined ? [] : ['-s', option.short.slice(1)];
  const value =
    option.choices.length > 0
      ? ['-x', '-a', quoted(option.choices.join(' '))]
      : option.value === undefined
        ? ['-f']
        : completesFiles(option)
          ? ['-r', '-F']
          : ['-x'];
  return [...short, '-l', option.long.slice(2), ...value, '-d', quoted(option.description)].join(' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
