import { ExitStatus } from '../../errors.js';
import { openHost } from '../../host/open-host.js';
import { recordHost } from '../../host/record.js';
import type { CliIo } from '../io.js';
import { waiting } from '../waiting.js';
import { write } from '../write.js';

export interface RecordCommandOptions {
  /** A recording to record again, which drops what vsmmu does not need; the live host where undefined. */
  readonly host?: string | undefined;
  /** May idle devices be bound, which resets them? */
  readonly bind: boolean;
}

/** `vsmmu record DIR`: a recording that `--host DIR` replays anywhere, without serial numbers. */
export async function runRecord(dir: string, options: RecordCommandOptions, io: CliIo): Promise<ExitStatus> {
  const source = await openHost({ host: options.host, bind: options.bind });
  try {
    const { report, files } = await waiting(io, 'recording the host', recordHost(source, dir, io.signal));
    await write(io.stdout, `${dir}\n`);
    const asked = report.devices.filter((device) => device.maxPasidLog2.known || device.kernelAts.known);
    await write(
      io.stderr,
      `recorded ${report.devices.length} functions, ${report.smmus.length} SMMUs and ${asked.length} answers of the kernel into ${files.join(', ')}\n` +
        'Serial numbers and unrelated kernel parameters are left out; look it through before you give it away.\n',
    );
    return ExitStatus.ok;
  } finally {
    await source.close();
  }
}
