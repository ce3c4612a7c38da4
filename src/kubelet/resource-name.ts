import { createHash } from 'node:crypto';
import { VsmmuError } from '../errors.js';

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

/** Environment variables and the resource each belongs to: of two names that share one, the first has it. */
export class VariableOwners {
  readonly #owners = new Map<string, ResourceName>();

  /** @param names resources that have their variables already */
  constructor(names: Iterable<ResourceName> = []) {
    for (const name of names) this.rivalOf(name);
  }

  /** Takes the name's variable for it; the resource that had it already, if it is another. */
  rivalOf(name: ResourceName): ResourceName | undefined {
    const variable = environmentVariable(name);
    const owner = this.#owners.get(variable) ?? name;
    this.#owners.set(variable, owner);
    return owner === name ? undefined : owner;
  }
}

/** Why two names can't be had at once: virt-launcher would give a VM the other resource's devices. */
export function collisionOf(name: ResourceName, rival: ResourceName): string {
  return `"${rival}" and "${name}" are both handed to virt-launcher as ${environmentVariable(name)}`;
}

/** Resource names have up to 308 characters and a socket's whole path 107; this leaves 65 to the directory. */
const SOCKET_STEM_MAX = 36;

/**
 * File name of a resource's socket: the name with "/" made a character that no resource name has. Of one that is too
 * long for a path, the beginning and a digest, which together are longer than any name that is kept.
 */
export function socketName(resource: ResourceName): string {
  const stem = resource.replace('/', '~');
  if (stem.length <= SOCKET_STEM_MAX) return `${stem}.sock`;
  const digest = createHash('sha256').update(resource).digest('hex').slice(0, 16);
  return `${stem.slice(0, 20)}~${digest}.sock`;
}

/** Domain of the resources that are named without a configuration. */
export const DEFAULT_DOMAIN = 'vsmmu.io';
