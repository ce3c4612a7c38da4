import { allCommands, type CommandModel, type OptionModel } from '../command-model.js';
import { completesFiles, nameOf, namesOf } from './words.js';

/** A script for zsh's completion system; works as a file `_vsmmu` in $fpath and when it is sourced. */
export function zshCompletion(program: CommandModel): string {
  return `#compdef vsmmu
# zsh completion for vsmmu: source <(vsmmu completion zsh)
${allCommands(program).map(functionOf).join('\n')}
if [[ $funcstack[1] == _vsmmu ]]; then _vsmmu "$@"; else compdef _vsmmu vsmmu; fi
`;
}

function functionOf(command: CommandModel): string {
  const options = command.options.map((option) => `    ${optionSpec(option)} \\\n`).join('');
  if (command.subcommands.length === 0) {
    return `${functionName(command)}() {\n  _arguments \\\n${options}    '--help[display help]' \\\n    '*:file:_files'\n}`;
  }
  const children = command.subcommands.map(
    (child) => `    ${quoted(`${escaped(nameOf(child))}:${child.description}`)}`,
  );
  const calls = command.subcommands.map((child) => `      ${nameOf(child)}) ${functionName(child)} ;;`);
  return `${functionName(command)}() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands
  commands=(
${children.join('\n')}
  )
  _arguments -C \\
${options}    '--help[display help]' \\
    '1:command:->command' \\
    '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument) case $line[1] in
${calls.join('\n')}
    esac ;;
  esac
}`;
}

function functionName({ path }: CommandModel): string {
  return `_${path.replaceAll(/[ -]/g, '_')}`;
}

/** '(-o --output)'{-o,--output}'[text]:value:(a b)' */
function optionSpec(option: OptionModel): string {
  const names = namesOf(option);
  const text = `[${escaped(option.description)}]${valueSpec(option)}`;
  const repeated = option.flags.includes('...') ? '*' : '';
  if (names.length === 1) return quoted(`${repeated}${option.long}${text}`);
  return `'(${names.join(' ')})'{${names.join(',')}}${quoted(text)}`;
}

function valueSpec(option: OptionModel): string {
  if (option.value === undefined) return '';
  const what = escaped(option.value);
  if (option.choices.length > 0) return `:${what}:(${option.choices.map(escaped).join(' ')})`;
  return completesFiles(option) ? `:${what}:_files` : `:${what}: `;
}

/** Characters that _arguments reads itself. */
function escaped(text: string): string {
  return text.replaceAll(/[\\:[\]]/g, String.raw`\$&`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
