export const title = 'the command line beside bare Node: first output and whole runs';

const ROUNDS = 15;
const HOST = ['--host', 'src/cli/demo/two-gpu-host'];
const DOMAIN = 'src/cli/demo/two-gpu.domain.xml';
const COMMANDS = {
  'vsmmu version': ['version'],
  'vsmmu --help': ['--help'],
  'vsmmu probe --host (8 functions)': ['probe', ...HOST],
  'vsmmu rewrite --host (2 GPUs, a NIC)': ['rewrite', ...HOST, DOMAIN],
  'vsmmu resolve --host': ['resolve', ...HOST],
  'vsmmu check --host': ['check', ...HOST, DOMAIN],
  'vsmmu doctor --host': ['doctor', ...HOST],
};

export async function run(measure) {
  const node = process.execPath;
  const names = Object.keys(COMMANDS);
  const commands = Object.values(COMMANDS).map((args) => [node, 'dist/vsmmu.js', ...args]);
  const [bare, ...results] = await measure.processes([[node, '-e', '0'], ...commands], ROUNDS);
  measure.other('node -e 0', 'ms', bare.ms);
  for (const [index, name] of names.entries()) {
    const { first, ms } = results[index];
    measure.row(`${name}: first output`, 'ms', first);
    // Of the same round, so that a machine that is busy for a while disturbs both.
    const beyond = first.map((value, round) => value - bare.ms[round]);
    measure.row(`${name}: first output, beyond node -e 0`, 'ms', beyond);
    measure.against('ms', [name, ms], ['node -e 0', bare.ms]);
  }
  for (const [index, { mib }] of [bare, ...results].entries()) {
    const what = `${['node -e 0', ...names][index]}: peak memory`;
    if (mib.length > 0) measure.row(what, 'MiB', mib);
    else measure.skip(what, 'GNU time is not installed');
  }
}
