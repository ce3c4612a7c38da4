import type { HostFeatures } from '../smmu/features.js';
import { LEGACY_DEFAULTS, type AskedVsmmu } from '../smmu/properties.js';
import { resolveVsmmu, type BehindDevice, type ResolutionError } from '../smmu/resolve.js';
import { askedOf, isAccelerated } from './asked.js';
import { checkBuses } from './check-buses.js';
import { checkEmulated, checkMix, checkNodesets, withoutIommufd } from './check-devices.js';
import { checkTwice } from './check-twice.js';
import { checkAliases, checkAttributes } from './check-written.js';
import { parseDomain, placeInDomain, type PassthroughDevice, type VirtualSmmu } from './domain-model.js';
import { attribute, descend } from './element.js';
import { withDefaults } from './options.js';
import { askedAts } from './plan-device.js';
import { refuseUnknown } from './plan-smmu.js';
import { Plan } from './plan.js';
import { qemuMessage, topologyMessage } from './qemu-messages.js';
import { readTopology } from './topology.js';

export interface CheckOptions {
  readonly source?: string;
  /** Defaults of QEMU's properties: 11.1 has `auto`, 11.0 and machine types up to virt-11.0 fixed values. */
  readonly qemu?: '11.0' | '11.1';
}

/** Something that would stop the VM, or make it run otherwise than the domain says. */
export interface CheckFinding {
  readonly code: string;
  readonly place: string;
  readonly message: string;
  /** QEMU's own words, where it would stop with them. */
  readonly qemu: string | undefined;
  readonly remedy: string;
}

/**
 * Predicts what libvirt, QEMU and the guest's DMA would make of a domain as it stands; nothing is resolved or changed.
 *
 * @param host the host it is to run on
 * @throws VsmmuError XML_*, NOT_A_DOMAIN
 */
export function checkDomain(text: string, host: HostFeatures, options: CheckOptions = {}): CheckFinding[] {
  const { source = 'domain XML', qemu = '11.1' } = options;
  const model = parseDomain(text, source);
  const plan = new Plan(model, host, withDefaults({ existing: 'keep', source }));
  const accelerated = model.smmus.filter((smmu) => isAccelerated(model, smmu) === true);
  checkMix(plan);
  checkAttributes(plan);
  checkAliases(plan);
  checkTwice(plan);
  const topology = readTopology(model);
  checkNodesets(plan, model.passthrough);
  checkBuses(plan, topology, accelerated);
  const static_ = [...plan.findings, ...plan.warnings].map((finding) => ({
    code: finding.code,
    place: finding.place ?? source,
    message: finding.message,
    qemu: topologyMessage(finding),
    remedy: finding.remedy,
  }));
  return [...static_, ...new Prediction(plan, qemu).of(accelerated, topology.behind)];
}

class Prediction {
  readonly #plan: Plan;
  readonly #qemu: '11.0' | '11.1';
  readonly #findings: CheckFinding[] = [];

  constructor(plan: Plan, qemu: '11.0' | '11.1') {
    this.#plan = plan;
    this.#qemu = qemu;
  }

  of(
    accelerated: readonly VirtualSmmu[],
    behind: ReadonlyMap<VirtualSmmu, readonly PassthroughDevice[]>,
  ): readonly CheckFinding[] {
    const own = new Plan(this.#plan.model, this.#plan.host, this.#plan.options);
    checkEmulated(own, accelerated);
    this.#take(own, 'Emulated endpoint devices are not allowed when using arm-smmuv3,accel=on');
    if (accelerated.length > 0) this.#checkKvm();
    for (const smmu of this.#plan.model.smmus) this.#predict(smmu, behind.get(smmu) ?? []);
    return this.#findings;
  }

  #take(plan: Plan, qemu: string | undefined): void {
    for (const { code, place = plan.options.source, message, remedy } of plan.findings)
      this.#findings.push({ code, place, message, qemu, remedy });
  }

  #checkKvm(): void {
    const { root } = this.#plan.model;
    const type = attribute(root, 'type');
    if (type === 'kvm') return;
    this.#add(root.start, {
      code: 'KVM_REQUIRED',
      message: `the domain is of type '${type ?? ''}'; an accelerated vSMMU needs KVM`,
      remedy: "Use <domain type='kvm'>.",
    });
  }

  #predict(smmu: VirtualSmmu, behind: readonly PassthroughDevice[]): void {
    const own = new Plan(this.#plan.model, this.#plan.host, this.#plan.options);
    const accelerated = isAccelerated(own.model, smmu) === true;
    const devices: BehindDevice[] = [];
    for (const device of accelerated ? behind : []) {
      const features = device.bdf === undefined ? undefined : own.host.devices.get(device.bdf);
      if (features === undefined) refuseUnknown(own, device);
      else devices.push({ features, ats: askedAts(own, device).ats, coldPlugged: true });
    }
    this.#take(own, undefined);
    for (const device of withoutIommufd(own.model, accelerated ? behind : []))
      this.#add(device.element.start, {
        code: 'IOMMUFD_REQUIRED',
        message: `${device.alias} does not use iommufd and stands behind ${smmu.alias}, which is accelerated`,
        qemu: 'vfio-pci endpoint devices without an iommufd backend not allowed when using arm-smmuv3,accel=on',
        remedy: "Add <iommufd enabled='yes'/> to the domain.",
      });
    const asked = this.#asWritten(smmu, devices, accelerated);
    const resolution = resolveVsmmu(asked, devices);
    if (!resolution.ok) for (const error of resolution.errors) this.#report(smmu, asked, devices, error);
  }

  /** What stands, and where nothing stands QEMU's own default: `auto`, or the fixed value of an older machine. */
  #asWritten(smmu: VirtualSmmu, devices: readonly BehindDevice[], accel: boolean): AskedVsmmu {
    const { vsmmu, origins } = askedOf(this.#plan.model, smmu, this.#plan.options, devices);
    if (!this.#hasFixedDefaults()) return { ...vsmmu, accel };
    const written = <T>(property: keyof typeof origins, value: T, fixed: T): T =>
      origins[property] === 'auto' && value === 'auto' ? fixed : value;
    return {
      accel,
      cmdqv: vsmmu.cmdqv,
      ats: written('ats', vsmmu.ats, LEGACY_DEFAULTS.ats),
      ril: written('ril', vsmmu.ril, LEGACY_DEFAULTS.ril),
      ssidsize: written('ssidsize', vsmmu.ssidsize, LEGACY_DEFAULTS.ssidsize),
      oas: written('oas', vsmmu.oas, LEGACY_DEFAULTS.oas),
    };
  }

  #hasFixedDefaults(): boolean {
    const machine = attribute(descend(this.#plan.model.root, 'os', 'type'), 'machine') ?? 'virt';
    const version = /^virt-(\d+)\.(\d+)$/.exec(machine);
    const old = version !== null && Number(version[1]) * 100 + Number(version[2]) <= 1100;
    return this.#qemu === '11.0' || old;
  }

  #report(
    smmu: VirtualSmmu,
    asked: AskedVsmmu,
    devices: readonly BehindDevice[],
    error: ResolutionError,
  ): void {
    const device = devices.find(({ features }) => features.bdf === error.bdf)?.features;
    const source = devices[0]?.features.smmu.limits;
    const vsmmu = {
      ssidsize: asked.ssidsize === 'auto' ? (source?.ssidsize ?? 0) : asked.ssidsize,
      oas: asked.oas === 'auto' ? Math.min(source?.oas ?? 44, 48) : asked.oas,
    };
    const host = device?.smmu.name === undefined ? '' : ` (host SMMU ${device.smmu.name})`;
    this.#add(smmu.element.start, {
      code: error.code,
      message: `${smmu.alias}: ${error.message}${error.message.includes('smmu3.') ? '' : host}`,
      qemu: qemuMessage(error, { vsmmu, device }),
      remedy: error.remedy,
    });
  }

  #add(
    offset: number,
    finding: Pick<CheckFinding, 'code' | 'message' | 'remedy'> & { readonly qemu?: string | undefined },
  ): void {
    const { model } = this.#plan;
    const element = { ...model.root, start: offset };
    this.#findings.push({ qemu: undefined, ...finding, place: placeInDomain(model, element) });
  }
}
