import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { expect, test } from '@jest/globals';

/** `npm test` builds first, so this is the program a user gets. */
test('npm run demo shows the whole way and ends well', async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['dist/demo.js']);
  expect(stderr).toBe('');
  for (const shown of [
    /0009:01:00\.0 +10de:2941 +nvgrace-gpu-vfio-pci/,
    /ssidsize +16 +IDR1\[10:6\]=16/,
    /\+.*ril="on" ssidsize="20" oas="48"/,
    /vsmmu\.io\/10de-2941-ats +0019:01:00\.0 +Healthy +NUMA node 1/,
    /PCI_RESOURCE_VSMMU_IO_10DE-2941-ATS=0009:01:00\.0/,
    /hooks\.kubevirt\.io\/hookSidecars/,
    /What was done/,
    /the same XML as the command line, from the annotation alone/,
  ])
    expect(stdout).toMatch(shown);
});
