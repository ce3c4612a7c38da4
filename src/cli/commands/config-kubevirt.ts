import { parse } from 'yaml';
import * as z from 'zod';

import { ExitStatus, messageOf, VsmmuError } from '../../errors.js';
import type { FleetView } from '../../fleet/view.js';
import { DEFAULT_DOMAIN } from '../../kubelet/resource-name.js';
import {
  permitDevices,
  type KubeVirtConfiguration,
  type PermittedDevice,
} from '../../kubevirt/permitted-devices.js';
import { readInput } from '../input.js';
import type { CliIo } from '../io.js';
import { renderData } from '../output.js';
import { readFleet, type FleetOptions } from '../read-fleet.js';
import { write } from '../write.js';

export interface ConfigKubeVirtOptions extends FleetOptions {
  /** The KubeVirt object as it is, YAML or JSON; '-' for standard input. */
  readonly current?: string | undefined;
  readonly output: 'json' | 'yaml';
}

/** `vsmmu config kubevirt`: the patch that makes KubeVirt permit the fleet's devices. 1 where there are none. */
export async function runConfigKubeVirt(options: ConfigKubeVirtOptions, io: CliIo): Promise<ExitStatus> {
  const current =
    options.current === undefined
      ? { featureGates: [], pciHostDevices: [] }
      : parseKubeVirt(await readInput(options.current, io), options.current);
  const devices = permittedDevices(await readFleet(options, io));
  if (devices.length === 0) {
    await write(io.stderr, 'No node has a device that a VFIO driver has, so there is nothing to permit.\n');
    return ExitStatus.findings;
  }
  await write(io.stdout, await renderData(options.output, permitDevices(current, devices)));
  if (options.current === undefined)
    await write(
      io.stderr,
      'A merge patch replaces lists: with --current FILE, what KubeVirt permits now is kept.\n',
    );
  return ExitStatus.ok;
}

/** One entry for each resource that an agent would advertise by its default names. */
export function permittedDevices({ nodes }: FleetView): PermittedDevice[] {
  const found = new Map<string, PermittedDevice>();
  for (const { spec } of nodes) {
    for (const { vendor, device, ats } of spec.devices) {
      if (vendor === undefined || device === undefined) continue;
      // As an agent without a configuration file names it (src/kubelet/config/agent-config.ts).
      const resourceName = `${DEFAULT_DOMAIN}/${vendor}-${device}${ats === 'yes' ? '-ats' : ''}`;
      const pciVendorSelector = `${vendor}:${device}`.toUpperCase();
      found.set(resourceName, { pciVendorSelector, resourceName, externalResourceProvider: true });
    }
  }
  return [...found.values()];
}

const kubeVirt = z.looseObject({
  kind: z.literal('KubeVirt'),
  spec: z
    .looseObject({
      configuration: z
        .looseObject({
          developerConfiguration: z.looseObject({ featureGates: z.array(z.string()).nullish() }).nullish(),
          permittedHostDevices: z
            .looseObject({ pciHostDevices: z.array(z.record(z.string(), z.unknown())).nullish() })
            .nullish(),
        })
        .nullish(),
    })
    .nullish(),
});

/** Of a whole file, an issue has no path. */
function firstIssue({ issues: [issue] }: z.ZodError): string {
  return [issue?.path.map(String).join('.'), issue?.message].filter(Boolean).join(': ');
}

/** @throws VsmmuError USAGE */
function parseKubeVirt(text: string, file: string): KubeVirtConfiguration {
  const refuse = (reason: string, cause?: unknown) =>
    new VsmmuError('USAGE', `this is no KubeVirt object: ${reason}`, {
      place: file === '-' ? 'standard input' : file,
      remedy: 'Give what "kubectl -n kubevirt get kubevirt kubevirt -o yaml" prints.',
      cause,
      exitStatus: ExitStatus.usage,
    });
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw refuse(messageOf(error).split('\n')[0] ?? '', error);
  }
  const parsed = kubeVirt.safeParse(document);
  if (!parsed.success) throw refuse(firstIssue(parsed.error));
  const configuration = parsed.data.spec?.configuration;
  return {
    featureGates: configuration?.developerConfiguration?.featureGates ?? [],
    pciHostDevices: configuration?.permittedHostDevices?.pciHostDevices ?? [],
  };
}
