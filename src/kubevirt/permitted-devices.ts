/** An entry of KubeVirt's spec.configuration.permittedHostDevices.pciHostDevices (kubevirt.io/api/core/v1, PciHostDevice). */
export interface PermittedDevice {
  /** "10DE:2941"; KubeVirt's admission of Grace devices compares it in upper case. */
  readonly pciVendorSelector: string;
  readonly resourceName: string;
  /** true: KubeVirt leaves the resource to a device plugin that is not its own. */
  readonly externalResourceProvider?: boolean | undefined;
}

/** The part of a KubeVirt object that a patch of ours touches; whatever else stands in an entry stays. */
export interface KubeVirtConfiguration {
  readonly featureGates: readonly string[];
  readonly pciHostDevices: readonly Readonly<Record<string, unknown>>[];
}

/** Hooks are sidecars; `hostDevices` of a VMI are refused without the other. */
const FEATURE_GATES = ['HostDevices', 'Sidecar'];

/**
 * A merge patch that lets VMIs have the devices. A merge patch replaces lists as a whole, so everything that
 * stands in them now goes along; entries of ours come in the order of their names. Patching twice changes nothing.
 */
export function permitDevices(current: KubeVirtConfiguration, devices: readonly PermittedDevice[]) {
  const ours = [...devices].sort((a, b) => (a.resourceName < b.resourceName ? -1 : 1));
  const names = new Set<unknown>(ours.map(({ resourceName }) => resourceName));
  const theirs = current.pciHostDevices.filter(({ resourceName }) => !names.has(resourceName));
  return {
    spec: {
      configuration: {
        developerConfiguration: { featureGates: [...new Set([...current.featureGates, ...FEATURE_GATES])] },
        permittedHostDevices: { pciHostDevices: [...theirs, ...ours] },
      },
    },
  };
}
