import { checkDomain, type CheckFinding, type CheckOptions } from '../../domain/check.js';
import { ExitStatus } from '../../errors.js';
import type { DeviceFeatures, HostFeatures, SmmuLimits } from '../../smmu/features.js';
import { featuresFor } from '../domain-host.js';
import { readInput } from '../input.js';
import type { CliIo } from '../io.js';
import { isData, renderData, renderTable, type TableFormat } from '../output.js';
import { printable } from '../../printable.js';
import { write } from '../write.js';

export interface CheckCommandOptions extends Pick<CheckOptions, 'qemu'> {
  /** Folder of a recording; the live host where it is undefined. */
  readonly host?: string | undefined;
  readonly output: TableFormat;
}

/**
 * Predicts why a domain would not start on a host, or not work as it says.
 * @returns findings where anything was found
 */
export async function runCheck(file: string, options: CheckCommandOptions, io: CliIo): Promise<ExitStatus> {
  const { host, output, qemu } = options;
  const source = file === '-' ? 'standard input' : file;
  const text = await readInput(file, io);
  const features = await featuresFor(text, { source, host, all: false }, io);
  const findings = checkDomain(text, features, { source, ...(qemu === undefined ? {} : { qemu }) });
  await write(
    io.stdout,
    isData(output)
      ? await renderData(output, { origin: features.origin, ok: findings.length === 0, findings })
      : `${renderFindings(findings, features.origin)}${output === 'wide' ? renderLookedAt(features) : ''}`,
  );
  return findings.length === 0 ? ExitStatus.ok : ExitStatus.findings;
}

function renderFindings(findings: readonly CheckFinding[], origin: string): string {
  if (findings.length === 0) return `Nothing found that would stop this domain on ${origin}.\n`;
  return findings
    .map(({ code, place, message, qemu, remedy }) => {
      const words = qemu === undefined ? '' : `  QEMU: ${qemu}\n`;
      return `${code} at ${printable(place)}: ${printable(message)}\n${words}  remedy: ${printable(remedy)}\n`;
    })
    .join('');
}

/** What the host says of its devices: what the findings rest on. */
function renderLookedAt({ devices }: HostFeatures): string {
  if (devices.size === 0) return '';
  const limit = (read: (limits: SmmuLimits) => string) => (device: DeviceFeatures) =>
    device.smmu.limits === undefined ? 'unknown' : read(device.smmu.limits);
  const onOff = (value: boolean | undefined) => (value === undefined ? 'unknown' : value ? 'on' : 'off');
  const table = renderTable<DeviceFeatures>(
    [
      { title: 'DEVICE', cell: ({ bdf }) => bdf },
      { title: 'KERNEL ON ATS', cell: ({ kernelAts }) => kernelAts },
      { title: 'SMMU', cell: ({ smmu }) => smmu.name ?? 'without a name' },
      { title: 'ATS', cell: limit(({ ats }) => onOff(ats)) },
      { title: 'RIL', cell: limit(({ ril }) => onOff(ril)) },
      { title: 'SSIDSIZE', cell: limit(({ ssidsize }) => `${ssidsize}`) },
      { title: 'OAS', cell: limit(({ oas }) => `${oas}`) },
      { title: 'CMDQV', cell: limit(({ cmdqv }) => onOff(cmdqv)) },
    ],
    [...devices.values()],
  );
  return `\n${table}`;
}
