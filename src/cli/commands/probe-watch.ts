import { ExitStatus, VsmmuError } from '../../errors.js';
import { CallThreads } from '../../host/call-thread.js';
import { liveHints } from '../../host/live-hints.js';
import { openHost } from '../../host/open-host.js';
import { LANES, probeHost } from '../../host/probe.js';
import type { HostChange } from '../../host/report-diff.js';
import { watchHost } from '../../host/watch.js';
import type { CliIo } from '../io.js';
import type { OutputFormat } from '../output.js';
import { printable } from '../../printable.js';
import { write } from '../write.js';

export interface ProbeWatchOptions {
  readonly host?: string | undefined;
  readonly output: OutputFormat;
}

/**
 * `vsmmu probe --watch`: what changes on this host, until it is interrupted. One line each: for people, or with
 * `-o json` as JSON Lines.
 */
export async function runProbeWatch(options: ProbeWatchOptions, io: CliIo): Promise<ExitStatus> {
  if (options.host !== undefined)
    throw new VsmmuError('USAGE', 'a recording never changes', {
      place: '--watch',
      remedy: 'Leave out --host to watch this machine.',
      exitStatus: ExitStatus.usage,
    });
  const source = await openHost();
  const threads = new CallThreads(LANES);
  const updates = watchHost({
    source,
    signal: io.signal,
    hints: await liveHints(),
    // Opened for each scan: a live host holds the probe lock while it is open.
    scan: async (signal) => {
      const scanned = await openHost({ threads });
      try {
        return await probeHost(scanned, { signal });
      } finally {
        await scanned.close();
      }
    },
  });
  let first = true;
  for await (const { report, changes } of updates) {
    if (first) await write(io.stderr, `watching ${report.devices.length} functions\n`);
    first = false;
    for (const change of changes)
      await write(io.stdout, options.output === 'table' ? describe(change) : `${JSON.stringify(change)}\n`);
  }
  await source.close();
  return ExitStatus.ok;
}

function describe(change: HostChange): string {
  if (change.kind !== 'changed') return `${change.bdf} ${change.kind}\n`;
  const fields = change.fields.map(({ name, from, to }) => `${name}: ${from ?? '-'} -> ${to ?? '-'}`);
  return `${change.bdf} ${printable(fields.join('; '))}\n`;
}
