import type { Command, Option } from 'commander';

/** A command of the program as plain data: what completions, the manual page and docs/cli.md are made from. */
export interface CommandModel {
  /** "vsmmu explain vmi" */
  readonly path: string;
  readonly description: string;
  /** "vsmmu explain vmi [options] [name]" */
  readonly usage: string;
  readonly arguments: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly OptionModel[];
  /** As in `--help`, without its heading; empty where there are none. */
  readonly examples: readonly string[];
  readonly subcommands: readonly CommandModel[];
}

export interface OptionModel {
  /** "-o, --output <format>" */
  readonly flags: string;
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  /** The word in angle brackets, such as "dir"; undefined for a flag. */
  readonly value: string | undefined;
  readonly choices: readonly string[];
  /** As a person would write it; undefined where there is none worth a word. */
  readonly defaultValue: string | undefined;
  readonly required: boolean;
}

/** @param help text that `--help` adds after a command's options */
export function commandModel(command: Command, parents: readonly string[] = []): CommandModel {
  const path = [...parents, command.name()];
  return {
    path: path.join(' '),
    description: command.description(),
    usage: `${path.join(' ')} ${command.usage()}`,
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      description: argument.description,
    })),
    options: command.options.filter(({ hidden }) => !hidden).map(optionModel),
    examples: examplesOf(command),
    subcommands: command.commands.map((child) => commandModel(child, path)),
  };
}

function optionModel(option: Option): OptionModel {
  return {
    flags: option.flags,
    short: option.short,
    long: option.long ?? option.flags,
    description: option.description,
    value: /[<[]([^>\].]+)/.exec(option.flags)?.[1],
    choices: option.argChoices ?? [],
    defaultValue: defaultOf(option),
    required: option.mandatory,
  };
}

function defaultOf({ defaultValue, defaultValueDescription, negate }: Option): string | undefined {
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  if (negate || defaultValue === undefined || defaultValue === false) return undefined;
  const value: unknown = defaultValue;
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.join(' ');
  return String(value);
}

/** Commander keeps added help as listeners, so it is asked for the whole text and the examples are cut out. */
function examplesOf(command: Command): string[] {
  let text = '';
  const before = { ...command.configureOutput() };
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  command.configureOutput(before);
  const [, block] = /\nExamples?:\n((?: {2}.*\n?)+)/.exec(text) ?? [];
  return (block ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** The command itself and everything below it, in the order of declaration. */
export function allCommands(model: CommandModel): CommandModel[] {
  return [model, ...model.subcommands.flatMap(allCommands)];
}
