// Runs in a guest: tells each change of the host that vsmmu's watch sees, one JSON line each. There is no slow rescan in
// it, so that nothing but the kernel's own events can have told.
import { openHost } from '../../../src/host/open-host.js';
import { probeHost } from '../../../src/host/probe.js';
import { FolderHints } from '../../../src/host/hints.js';
import { UeventHints } from '../../../src/host/uevents.js';
import { watchHost } from '../../../src/host/watch.js';

const NEVER_MS = 2 ** 31 - 1;
const uevents = await UeventHints.open();
const updates = watchHost({
  source: await openHost(),
  scan: async (signal) => {
    const source = await openHost();
    try {
      return await probeHost(source, { signal });
    } finally {
      await source.close();
    }
  },
  signal: new AbortController().signal,
  hints: [...(uevents === undefined ? [] : [uevents]), new FolderHints(['/dev/vfio', '/dev/vfio/devices'])],
  rescanMs: NEVER_MS,
});
for await (const { changes } of updates) process.stdout.write(`${JSON.stringify(changes)}\n`);
