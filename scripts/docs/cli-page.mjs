// docs/cli.md from the commands.

/** @param {any[]} commands as loadCommands gives them @returns {string} */
export function cliPage([program, ...commands]) {
  const leaves = commands.filter(({ subcommands }) => subcommands.length === 0);
  return [
    '# Command line',
    '',
    'Generated from the program. Data goes to standard output, everything else to standard error. `NO_COLOR` and a pipe turn',
    'colour off. Exit status: 0 ok, 1 findings, 2 usage, 3 unreachable or failed. Errors have a [code](errors.md).',
    '',
    '| command | does |',
    '|---|---|',
    ...leaves.map(
      ({ path, description }) => `| [\`${path}\`](#${path.replaceAll(' ', '-')}) | ${cell(description)} |`,
    ),
    '',
    ...leaves.flatMap(section),
    `Options of every command: \`-h, --help\`; of \`${program.path}\` itself: \`-V, --version\`.`,
    '',
  ].join('\n');
}

function section({ path, description, usage, options, examples, arguments: words }) {
  const rows = [
    ...words.map(({ name, description }) => [name, description, '']),
    ...options.map((option) => [option.flags, meaning(option), option.defaultValue ?? '']),
  ].map(([name, text, value]) => `| ${code(name)} | ${cell(text)} | ${value === '' ? '' : code(value)} |`);
  return [
    `## ${path}`,
    description,
    '```',
    usage,
    ...examples.map((example) => `  ${example}`),
    '```',
    ...(rows.length === 0 ? [] : ['| | | default |', '|---|---|---|', ...rows]),
    '',
  ];
}

function meaning({ description, choices, required }) {
  const words = choices.length === 0 ? '' : `: ${choices.map((choice) => `\`${choice}\``).join(', ')}`;
  return `${description}${words}${required ? ' (required)' : ''}`;
}

function code(text) {
  return `\`${text.replaceAll('|', '\\|')}\``;
}

/** Angle brackets outside code would be read as HTML. */
function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
