// docs/cli.md from the commands.

/** Who runs examples that go on for ever, or ask this machine or a cluster; the others run as they stand. */
const ELSEWHERE = {
  'vsmmu probe': 'test/real/guest/checks.mjs',
  'vsmmu record': 'test/host-record.test.ts',
  'vsmmu doctor': 'test/doctor.test.ts',
  'vsmmu resolve': 'test/real/guest/checks.mjs',
  'vsmmu baseline': 'test/real/fleet/commands.mjs',
  'vsmmu rewrite': 'test/real/libvirt/suite.mjs',
  'vsmmu check': 'test/real/fleet/commands.mjs',
  'vsmmu agent': 'test/real/kubelet/node.mjs',
  'vsmmu reader': 'test/reader.test.ts',
  'vsmmu hook': 'test/hook.test.ts',
  'vsmmu webhook': 'test/webhook.test.ts',
  'vsmmu explain vmi': 'test/real/fleet/commands.mjs',
  'vsmmu nodes': 'test/real/fleet/commands.mjs',
  'vsmmu status': 'test/real/fleet/commands.mjs',
  'vsmmu controller': 'test/real/helm/operations.mjs',
  'vsmmu support-bundle': 'test/real/helm/operations.mjs',
  'vsmmu cleanup': 'test/real/helm/lifecycle.mjs',
  'vsmmu config kubevirt': 'test/real/docs/suite.mjs',
  'vsmmu completion': 'test/real/shell/suite.mjs',
};

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
    '```',
    ...exampleBlocks(path, examples),
    ...(rows.length === 0 ? [] : ['| | | default |', '|---|---|---|', ...rows]),
    '',
  ];
}

/** Those that run as they stand (docs/blocks.mjs), and those that a test of their own runs. */
function exampleBlocks(path, examples) {
  const isHere = (example) =>
    path === 'vsmmu version' ||
    (/--host|--batch/.test(example) && !['vsmmu agent', 'vsmmu record'].includes(path));
  const here = examples.filter(isHere);
  const elsewhere = examples.filter((example) => !isHere(example));
  if (elsewhere.length > 0 && ELSEWHERE[path] === undefined)
    throw new Error(`cli-page.mjs: who runs "${elsewhere[0]}"?`);
  const fenced = (lines) => ['```sh', ...lines, '```'];
  return [
    ...(elsewhere.length === 0 ? [] : [`<!-- by ${ELSEWHERE[path]} -->`, ...fenced(elsewhere)]),
    ...(here.length === 0 ? [] : ['', ...fenced(here)]),
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
