import { allCommands, type CommandModel } from '../command-model.js';
import { completesFiles, namesOf, wordsOf } from './words.js';

/** A script for bash 3.2 and later, without the bash-completion package. */
export function bashCompletion(program: CommandModel): string {
  return `# bash completion for vsmmu: source <(vsmmu completion bash)
_vsmmu() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=vsmmu word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$command $word" in
${subcommandCases(program)}
    esac
  done
  case "$command:$previous" in
${optionCases(program)}
  esac
  case $command in
${wordCases(program)}
  esac
}
complete -o default -F _vsmmu vsmmu
`;
}

function subcommandCases(program: CommandModel): string {
  return allCommands(program)
    .slice(1)
    .map(({ path }) => `      '${path}') command='${path}' ;;`)
    .join('\n');
}

/** Behind an option: its choices, or files where it takes one, or nothing. */
function optionCases(program: CommandModel): string {
  return allCommands(program)
    .flatMap(({ path, options }) =>
      options
        .filter(({ value }) => value !== undefined)
        .map((option) => {
          const labels = namesOf(option).map((name) => `'${path}:${name}'`);
          const action =
            option.choices.length > 0
              ? `COMPREPLY=($(compgen -W '${option.choices.join(' ')}' -- "$current")); return`
              : completesFiles(option)
                ? `COMPREPLY=($(compgen -f -- "$current")); return`
                : 'return';
          return `    ${labels.join('|')}) ${action} ;;`;
        }),
    )
    .join('\n');
}

function wordCases(program: CommandModel): string {
  return allCommands(program)
    .map(
      (command) =>
        `    '${command.path}') COMPREPLY=($(compgen -W '${wordsOf(command).join(' ')}' -- "$current")) ;;`,
    )
    .join('\n');
}
