import type { Bdf } from '../bdf.js';
import { known, unknown, type Answer, type Evidence } from '../smmu/answer.js';
import { atsCapabilityOf, effectiveAtsOf, kernelAtsOf } from './ats.js';
import { nestingOf, type DeviceReplies, type HwInfoReply, type NestingReply } from './hw-info.js';
import { HwCapability } from './iommufd-uapi.js';
import { effectivePasidOf, maxPasidOf, pasidFlagOf } from './pasid.js';
import { groupMembersOf, isVfioBound, passthroughOf } from './passthrough.js';
import type { PciCapabilities } from './pci-capabilities.js';
import type { DeviceReport, KernelReport, SmmuReport, SriovRole } from './report.js';
import type { SysfsDevice } from './sysfs-device.js';

/** A function as far as it is read before the whole host is understood. */
export interface Surveyed {
  readonly sysfs: SysfsDevice;
  readonly config: PciCapabilities;
  readonly pcieRoot: Answer<string>;
  readonly resetMethods: Answer<readonly string[]>;
  readonly sriov: SriovRole;
  readonly firmwareAts: Answer<boolean>;
}

/** What the rest of the host says of a function. */
export interface DeviceSurroundings {
  readonly replies: DeviceReplies | undefined;
  readonly smmu: SmmuReport | undefined;
  readonly kernel: KernelReport;
  readonly devices: ReadonlyMap<Bdf, SysfsDevice>;
  /** A VF's PF, where the host has it. */
  readonly physicalFunction: Surveyed | undefined;
}

const NOT_VFIO: Extract<NestingReply, { kind: 'not-asked' }> = {
  kind: 'not-asked',
  because: 'it is not bound to a VFIO driver, so it could not be asked',
  remedy: 'Bind it to vfio-pci or its variant driver.',
  source: '',
  code: undefined,
};

export function reportDevice(surveyed: Surveyed, surroundings: DeviceSurroundings): DeviceReport {
  const { sysfs, config } = surveyed;
  const { replies, smmu, kernel, devices } = surroundings;
  const { pri, pasid } = sharedCapabilities(surveyed, surroundings.physicalFunction);
  const reply: HwInfoReply = replies?.hwInfo ?? NOT_VFIO;
  const kernelAts = withEvidence(kernelAtsOf(reply, kernel), replies?.evidence);
  const atsCapability = atsCapabilityOf(config.ats, kernelAts);
  const maxPasidLog2 = maxPasidOf(reply, kernel);
  return {
    bdf: sysfs.bdf,
    vendor: sysfs.vendor,
    device: sysfs.device,
    classCode: sysfs.classCode,
    driver: sysfs.driver,
    passthrough: passthroughOf(sysfs, replies?.hwInfo, devices),
    vfio: isVfioBound(sysfs, replies?.hwInfo),
    smmu: sysfs.smmu,
    smmuReport: smmu?.name,
    iommuGroup: sysfs.iommuGroup,
    groupMates: sysfs.groupMates,
    groupMembers: groupMembersOf(sysfs, devices),
    pcieRoot: surveyed.pcieRoot,
    resetMethods: surveyed.resetMethods,
    sriov: surveyed.sriov,
    numaNode: sysfs.numaNode,
    cdev: sysfs.cdev,
    atsCapability,
    priCapability: pri,
    pasidCapability: pasid,
    kernelAts,
    maxPasidLog2,
    pasidExec: pasidFlagOf(reply, maxPasidLog2, HwCapability.pciPasidExec, 'bit 1'),
    pasidPriv: pasidFlagOf(reply, maxPasidLog2, HwCapability.pciPasidPriv, 'bit 2'),
    firmwareAts: surveyed.firmwareAts,
    nesting: nestingOf(replies?.nesting ?? NOT_VFIO),
    effectiveAts: effectiveAtsOf(registerAnswer(smmu, 'ats'), atsCapability, kernelAts, [
      surveyed.firmwareAts,
      negated(kernel.noAts),
    ]),
    effectivePasidBits: effectivePasidOf(registerAnswer(smmu, 'ssidSize'), pasid, maxPasidLog2),
  };
}

function negated(answer: Answer<boolean>): Answer<boolean> {
  return answer.known ? { ...answer, value: !answer.value } : answer;
}

/**
 * A VF has no PRI and PASID capabilities of its own and uses its PF's (PCI Express Base 6.0, 9.3.7.14;
 * pci_pri_supported() and pci_pasid_features(), drivers/pci/ats.c).
 */
function sharedCapabilities(
  { sysfs, config }: Surveyed,
  physicalFunction: Surveyed | undefined,
): Pick<PciCapabilities, 'pri' | 'pasid'> {
  const { physicalFunction: pf } = sysfs;
  if (pf.known && pf.value === null) return config;
  if (physicalFunction !== undefined) return physicalFunction.config;
  const [because, remedy] = pf.known
    ? [
        `a VF shares the capability of its PF ${pf.value ?? ''}, which this host does not show`,
        'Look at the PF.',
      ]
    : [`whether it is a VF, which shares its PF's, is not known: ${pf.because}`, pf.remedy];
  const { pri, pasid } = config;
  return {
    pri: pri.known && !pri.value ? unknown(because, remedy) : pri,
    pasid: pasid.known && pasid.value === null ? unknown(because, remedy) : pasid,
  };
}

function withEvidence<T>(answer: Answer<T>, more: readonly Evidence[] | undefined): Answer<T> {
  return more === undefined || more.length === 0
    ? answer
    : { ...answer, evidence: [...answer.evidence, ...more] };
}

/** What the SMMU's registers say, with the register's name as evidence. */
function registerAnswer(smmu: SmmuReport | undefined, field: 'ats'): Answer<boolean>;
function registerAnswer(smmu: SmmuReport | undefined, field: 'ssidSize'): Answer<number>;
function registerAnswer(smmu: SmmuReport | undefined, field: 'ats' | 'ssidSize'): Answer<boolean | number> {
  if (smmu === undefined) return unknown('its SMMU is not known', 'Probe the host with its sysfs.');
  const { registers } = smmu;
  if (!registers.known) return registers;
  const { decoded } = registers.value;
  const source = registers.evidence[0]?.source ?? smmu.name;
  return field === 'ats'
    ? known(decoded.ats, { reading: `IDR0[10]=${decoded.ats ? 1 : 0}`, source })
    : known(decoded.ssidSize, { reading: `IDR1[10:6]=${decoded.ssidSize}`, source });
}
