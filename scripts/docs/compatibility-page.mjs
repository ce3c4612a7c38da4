// docs/compatibility.md from src/doctor/compatibility.ts.

/** @param {{ rows: any[], combinations: any[] }} data @returns {string} */
export function compatibilityPage({ rows, combinations }) {
  return [
    '# Compatibility',
    '',
    'Generated from `src/doctor/compatibility.ts`, which `vsmmu doctor` reads too, and which is [JSON](compatibility.json) for',
    'programs. What a host really has, `vsmmu doctor` says.',
    '',
    '## What each part brings',
    '| part | since | gives | without it |',
    '|---|---|---|---|',
    ...rows.map(({ part, since, gives, without }) => `| ${part} | ${since} | ${gives} | ${without} |`),
    '',
    '## Combinations',
    '| KubeVirt | libvirt | QEMU | result |',
    '|---|---|---|---|',
    ...combinations.map(
      ({ kubevirt, libvirt, qemu, result }) => `| ${kubevirt} | ${libvirt} | ${qemu} | ${result} |`,
    ),
    '',
  ].join('\n');
}
