// docs/man/vsmmu.1 from the commands: roff with the man macros, as `man ./vsmmu.1` shows it.

/** @param {any[]} commands as loadCommands gives them @param {string} version @returns {string} */
export function manPage([program, ...commands], version) {
  const leaves = commands.filter(({ subcommands }) => subcommands.length === 0);
  return [
    `.TH VSMMU 1 "" "vsmmu ${version}" "vsmmu"`,
    '.SH NAME',
    `vsmmu \\- ${text(program.description.replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.B vsmmu',
    '.I command',
    '[options]',
    '.SH COMMANDS',
    ...leaves.flatMap(commandOf),
    '.SH EXIT STATUS',
    '0 ok, 1 findings, 2 usage, 3 unreachable or failed.',
    '.SH ENVIRONMENT',
    '.TP',
    '.B NO_COLOR',
    'Turns colour off.',
    '.TP',
    '.B KUBECONFIG',
    'Where commands about a cluster find it.',
    '.SH FILES',
    '.TP',
    '.I /run/vsmmu',
    'What the kernel was asked since boot, and the lock that keeps two probes apart.',
    '',
  ].join('\n');
}

function commandOf({ path, description, usage, options, examples, arguments: words }) {
  return [
    `.SS ${text(path)}`,
    text(description),
    '.PP',
    `.B ${text(usage)}`,
    ...words.flatMap(({ name, description }) => [
      '.TP',
      `.I ${text(name)}`,
      text(description || 'see above'),
    ]),
    ...options.flatMap((option) => ['.TP', `.B ${text(option.flags)}`, text(meaning(option))]),
    ...examples.flatMap((example) => ['.PP', '.EX', text(example), '.EE']),
  ];
}

function meaning({ description, choices, defaultValue, required }) {
  const parts = [
    ...(choices.length === 0 ? [] : [`one of ${choices.join(', ')}`]),
    ...(defaultValue === undefined ? [] : [`default: ${defaultValue}`]),
    ...(required ? ['required'] : []),
  ];
  return parts.length === 0 ? description : `${description} (${parts.join('; ')})`;
}

/** Backslashes, dashes that must stay dashes, and a dot or quote that would begin a request. */
function text(words) {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1')
    .replaceAll('\n', ' ');
}
