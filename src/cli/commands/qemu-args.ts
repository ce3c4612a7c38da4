import { ExitStatus } from '../../errors.js';
import { isAccelerated, rewriteCommand } from '../../qemu/rewrite-command.js';
import { probeFeatures } from '../host.js';
import { readInput } from '../input.js';
import type { CliIo } from '../io.js';
import { write } from '../write.js';

export interface QemuArgsOptions {
  /** Folder of a recording; the live host where it is undefined. */
  readonly host?: string | undefined;
}

/** Prints a QEMU command line, or a JSON array of devices, with every auto resolved and checked. */
export async function runQemuArgs(file: string, { host }: QemuArgsOptions, io: CliIo): Promise<ExitStatus> {
  const source = file === '-' ? 'standard input' : file;
  const text = await readInput(file, io);
  // A probe resets idle devices: not for a command line without a vSMMU.
  const features = isAccelerated(text)
    ? await probeFeatures(host, io)
    : { origin: host ?? 'this host', devices: new Map() };
  await write(io.stdout, rewriteCommand(text, features, source));
  return ExitStatus.ok;
}
