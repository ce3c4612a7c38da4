export const title = 'the command line beside bare Node: first output and whole runs';

export async function run(measure) {
  const node = process.execPath;
  const cases = {
    'node -e 0': [node, '-e', '0'],
    'vsmmu version': [node, 'dist/vsmmu.js', 'version'],
    'vsmmu --help': [node, 'dist/vsmmu.js', '--help'],
    'vsmmu probe --host (8 functions)': [
      node,
      'dist/vsmmu.js',
      'probe',
      '--host',
      'src/cli/demo/two-gpu-host',
    ],
    'vsmmu rewrite --host (2 GPUs, a NIC)': [
      node,
      'dist/vsmmu.js',
      'rewrite',
      '--host',
      'src/cli/demo/two-gpu-host',
      'src/cli/demo/two-gpu.domain.xml',
    ],
  };
  const results = await measure.processes(Object.values(cases));
  const [bare] = results;
  for (const [index, name] of Object.keys(cases).entries()) {
    if (index === 0) measure.other(name, 'ms', bare.ms);
    else {
      measure.row(`${name}: first output`, 'ms', results[index].first);
      measure.against('ms', [name, results[index].ms], ['node -e 0', bare.ms]);
    }
  }
  for (const [index, name] of Object.keys(cases).entries())
    if (results[index].mib.length > 0) measure.row(`${name}: peak memory`, 'MiB', results[index].mib);
    else measure.skip(`${name}: peak memory`, 'GNU time is not installed');
}
