import { checkDomain, type CheckFinding, type CheckOptions } from '../../domain/check.js';
import { ExitStatus } from '../../errors.js';
import { featuresFor } from '../domain-host.js';
import { readInput } from '../input.js';
import type { CliIo } from '../io.js';
import { type OutputFormat, renderData } from '../output.js';
import { write } from '../write.js';

export interface CheckCommandOptions extends Pick<CheckOptions, 'qemu'> {
  /** Folder of a recording; the live host where it is undefined. */
  readonly host?: string | undefined;
  readonly output: OutputFormat;
}

/**
 * Predicts why a domain would not start on a host, or not work as it says.
 * @returns findings where anything was found
 */
export async function runCheck(file: string, options: CheckCommandOptions, io: CliIo): Promise<ExitStatus> {
  const { host, output, ...checking } = options;
  const source = file === '-' ? 'standard input' : file;
  const text = await readInput(file, io);
  const features = await featuresFor(text, { source, host, all: false }, io);
  const findings = checkDomain(text, features, { ...checking, source });
  await write(
    io.stdout,
    output === 'table'
      ? renderFindings(findings, features.origin)
      : renderData(output, { origin: features.origin, ok: findings.length === 0, findings }),
  );
  return findings.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

function renderFindings(findings: readonly CheckFinding[], origin: string): string {
  if (findings.length === 0) return `Nothing found that would stop this domain on ${origin}.\n`;
  return findings
    .map(({ code, place, message, qemu, remedy }) => {
      const words = qemu === undefined ? '' : `  QEMU: ${qemu}\n`;
      return `${code} at ${place}: ${message}\n${words}  remedy: ${remedy}\n`;
    })
    .join('');
}
