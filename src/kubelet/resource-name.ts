import { VsmmuError } from '../errors.js';
import type { DeviceReport } from '../host/report.js';
import { valueOf } from '../smmu/answer.js';

declare const resourceName: unique symbol;

/** An extended resource's name that the kubelet accepts: "vsmmu.io/10de-2941-ats". */
export type ResourceName = string & { readonly [resourceName]: true };

/** k8s.io/kubernetes pkg/apis/core/v1/helper IsExtendedResourceName, v1.36.2, read as rules one can explain. */
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
/** The quota form "requests.<prefix>" must be a DNS subdomain, of at most 253 characters. */
const PREFIX_MAX = 253 - 'requests.'.length;
const NAME_MAX = 63;

/** Why the kubelet would refuse the text as an extended resource's name; undefined: it takes it. */
export function resourceNameFault(text: string): string | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return 'it has no "/"; a resource is named "domain/name"';
  const prefix = text.slice(0, slash);
  const name = text.slice(slash + 1);
  if (text.includes('kubernetes.io/')) return 'names in kubernetes.io are reserved';
  if (text.startsWith('requests.')) return 'names that start with "requests." are reserved for quotas';
  if (prefix.length > PREFIX_MAX) return `the domain is longer than ${PREFIX_MAX} characters`;
  if (!prefix.split('.').every((label) => LABEL.test(label) && label.length <= NAME_MAX)) {
    return `"${prefix}" is no lower-case DNS subdomain`;
  }
  if (name.length > NAME_MAX) return `"${name}" is longer than ${NAME_MAX} characters`;
  if (!NAME.test(name)) {
    return `"${name}" must be letters, digits, "-", "_" and ".", and start and end with a letter or digit`;
  }
  return undefined;
}

/** @throws VsmmuError RESOURCE_NAME_INVALID */
export function parseResourceName(text: string, place?: string): ResourceName {
  const fault = resourceNameFault(text);
  if (fault === undefined) return text as ResourceName;
  throw new VsmmuError('RESOURCE_NAME_INVALID', `The kubelet takes no resource named "${text}": ${fault}.`, {
    place,
    remedy: 'Name it like "example.com/gpu-ats".',
  });
}

/**
 * The variable in which virt-launcher looks for the addresses. Only "/" and "." are replaced
 * (KubeVirt v1.9 pkg/util ResourceNameToEnvVar), so two resources may share one variable.
 */
export function environmentVariable(resource: ResourceName): string {
  return `PCI_RESOURCE_${resource.toUpperCase().replace(/[/.]/g, '_')}`;
}

/**
 * @throws VsmmuError RESOURCE_NAMES_COLLIDE where two names become one environment variable: virt-launcher
 * would give a VM the other resource's devices.
 */
export function refuseCollisions(names: Iterable<ResourceName>): void {
  const seen = new Map<string, ResourceName>();
  for (const name of new Set(names)) {
    const variable = environmentVariable(name);
    const other = seen.get(variable);
    if (other !== undefined) {
      throw new VsmmuError(
        'RESOURCE_NAMES_COLLIDE',
        `"${other}" and "${name}" are both handed to virt-launcher as ${variable}.`,
        { place: name, remedy: 'Rename one so that they differ in more than case, "/", "." and "_".' },
      );
    }
    seen.set(variable, name);
  }
}

/** File name of a resource's socket: the name with "/" made a character that no resource name has. */
export function socketName(resource: ResourceName): string {
  return `${resource.replace('/', '~')}.sock`;
}

/** Domain of the resources that are named without a configuration. */
export const DEFAULT_DOMAIN = 'vsmmu.io';

/**
 * The name a device gets without a configuration: vendor and device id, and "-ats" only where effective ATS is
 * known to be there. A pod that asks for the suffix never gets a device that may lack it.
 *
 * @returns undefined where sysfs does not tell what the device is.
 */
export function defaultResourceName(
  device: Pick<DeviceReport, 'vendor' | 'device' | 'effectiveAts'>,
): ResourceName | undefined {
  if (device.vendor === undefined || device.device === undefined) return undefined;
  const hex = (id: number) => id.toString(16).padStart(4, '0');
  const ats = valueOf(device.effectiveAts) === true ? '-ats' : '';
  return parseResourceName(`${DEFAULT_DOMAIN}/${hex(device.vendor)}-${hex(device.device)}${ats}`);
}
