import type { Bdf } from '../bdf.js';
import { compareBdf } from '../bdf.js';
import type { DeviceFeatures } from '../smmu/features.js';
import { isAccelerated, mayAccelerate } from './asked.js';
import { checkAddresses } from './check-buses.js';
import { FreeBuses } from './free-buses.js';
import type { PassthroughDevice, VirtualSmmu } from './domain-model.js';
import { attribute, childOf, descend } from './element.js';
import { isUnresolvable } from './unresolvable.js';
import { planInitiators } from './plan-initiators.js';
import { planIommufd } from './plan-iommufd.js';
import { expanderBus, guestAddress, rootPort, vsmmu } from './new-devices.js';
import { guestCellOf } from './numa.js';
import { refuseUnknown } from './plan-smmu.js';
import type { Plan } from './plan.js';
import type { NewElement } from './render.js';
import { readTopology, type Topology } from './topology.js';

/** Devices of one host SMMU that get a vSMMU, or join one. */
interface Group {
  /** Name of the host SMMU; undefined: not known, and the device stands alone. */
  readonly smmu: string | undefined;
  readonly members: { readonly device: PassthroughDevice; readonly features: DeviceFeatures }[];
}

/**
 * Plans the topology that a domain lacks: with policy `complete`, every passed-through device behind an accelerated
 * vSMMU of its host SMMU; with `regroup`, devices of other host SMMUs away from vSMMUs that they share; with `accelLost`,
 * acceleration for vSMMUs that lost it on the way. Properties are not resolved here: the result is planned again for
 * that.
 *
 * What is there is used and never renumbered, so a domain that comes back from libvirt with addresses needs nothing.
 */
export function planTopology(plan: Plan): void {
  const { topology: policy, regroup, accelLost } = plan.options;
  if (!isVirt(plan)) return;
  const complete = policy === 'complete';
  if (complete || accelLost) accelerate(plan);
  if (!complete && !regroup) return;
  checkAddresses(plan);
  const topology = readTopology(plan.model);
  const homes = vsmmuHomes(plan, topology);
  const strays = [...homes.strays, ...(complete ? unserved(plan, topology) : [])];
  const groups = groupBySmmu(plan, strays);
  if (complete && groups.length > 0) refuseForeignIommus(plan);
  if (plan.findings.length > 0) return;
  new TopologyBuilder(plan).build(groups, homes.bySmmu);
  if (!complete) return;
  const all = served(plan, topology, groups);
  planIommufd(plan, all);
  planInitiators(plan, all);
}

/** Only the aarch64 virt machine has a pluggable vSMMU. An absent arch or machine is the host's, not ours to judge. */
function isVirt(plan: Plan): boolean {
  const type = descend(plan.model.root, 'os', 'type');
  const arch = attribute(type, 'arch') ?? 'aarch64';
  return arch === 'aarch64' && /^virt(-|$)/.test(attribute(type, 'machine') ?? 'virt');
}

/**
 * A vSMMU with passed-through devices that says nothing of accel has lost it, in a pipeline that knows no such
 * attribute: without it QEMU refuses those devices. An explicit off is left alone.
 */
function accelerate(plan: Plan): void {
  const { behind } = readTopology(plan.model);
  for (const smmu of plan.model.smmus) {
    const silent = mayAccelerate(plan.model, smmu) && isAccelerated(plan.model, smmu) === false;
    if (!silent || smmu.driver === undefined || smmu.pciBus === undefined) continue;
    if ((behind.get(smmu) ?? []).length === 0) continue;
    const pciBus = smmu.driver.attributes.find(({ name }) => name === 'pciBus');
    plan.edits.push(
      plan.layout.addAttribute(smmu.driver, pciBus, 'accel', 'on', {
        what: "<driver> gets accel='on'",
        sets: [{ as: 'attribute', alias: smmu.alias, name: 'accel', value: 'on' }],
        why: 'passed-through devices stand behind it, and QEMU takes them behind an accelerated vSMMU only',
      }),
    );
  }
}

/** A machine-wide or foreign iommu can't stand beside vSMMUs with a bus; whose it is, is not ours to decide. */
function refuseForeignIommus(plan: Plan): void {
  const { iommus, smmus } = plan.model;
  for (const element of iommus) {
    const smmu = smmus.find((one) => one.element === element);
    if (smmu?.pciBus === undefined)
      plan.refuse(
        element,
        'IOMMU_MIX',
        `an <iommu model='${attribute(element, 'model') ?? ''}'> without pciBus is there already`,
        'Remove it, or use --topology rewrite.',
      );
  }
}

interface Homes {
  /** A vSMMU of each host SMMU that has one. */
  readonly bySmmu: ReadonlyMap<string, VirtualSmmu>;
  /** Devices that stand behind a vSMMU of another host SMMU than the first device there. */
  readonly strays: readonly PassthroughDevice[];
}

function vsmmuHomes(plan: Plan, { behind }: Topology): Homes {
  const bySmmu = new Map<string, VirtualSmmu>();
  const strays: PassthroughDevice[] = [];
  for (const [smmu, devices] of behind) {
    // Silence on accel is as good as on here: `accelerate` has seen to it.
    if (smmu.pciBus === undefined || !mayAccelerate(plan.model, smmu)) continue;
    const names = devices.map(({ bdf }) => smmuOf(plan, bdf));
    const own = names.find((name) => name !== undefined);
    if (own !== undefined && !bySmmu.has(own)) bySmmu.set(own, smmu);
    if (plan.options.regroup)
      strays.push(...devices.filter((_, index) => names[index] !== undefined && names[index] !== own));
  }
  return { bySmmu, strays };
}

function smmuOf(plan: Plan, bdf: Bdf | undefined): string | undefined {
  return bdf === undefined ? undefined : plan.host.devices.get(bdf)?.smmu.name;
}

/** Devices that the guest sees and that stand behind no vSMMU. */
function unserved(plan: Plan, { behind, lost }: Topology): PassthroughDevice[] {
  const inPlace = new Set([...behind.values()].flat());
  return plan.model.passthrough.filter(
    (device) => device.placement.kind !== 'hidden' && !inPlace.has(device) && !lost.includes(device),
  );
}

/** Sorted by SMMU and address, so that the order of devices in the document decides nothing. */
function groupBySmmu(plan: Plan, devices: readonly PassthroughDevice[]): Group[] {
  const groups = new Map<string, Group>();
  for (const device of devices) {
    const features = device.bdf === undefined ? undefined : plan.host.devices.get(device.bdf);
    if (features === undefined) {
      refuseUnknown(plan, device);
      continue;
    }
    const behind = { features, ats: 'auto', coldPlugged: true } as const;
    if (plan.options.unresolvable === 'omit' && isUnresolvable(behind)) continue;
    const key = features.smmu.name ?? `?${features.bdf}`;
    const group = groups.get(key) ?? { smmu: features.smmu.name, members: [] };
    groups.set(key, group);
    group.members.push({ device, features });
  }
  for (const { members } of groups.values())
    members.sort((a, b) => compareBdf(a.features.bdf, b.features.bdf));
  return [...groups.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}

/** Every device that stands behind a vSMMU in the end, in libvirt's order. */
function served(plan: Plan, { behind }: Topology, groups: readonly Group[]): readonly PassthroughDevice[] {
  const placed = groups.flatMap(({ members }) => members.map(({ device }) => device));
  const inPlace = [...behind].flatMap(([smmu, devices]) => (mayAccelerate(plan.model, smmu) ? devices : []));
  const all = new Set([...placed, ...inPlace]);
  return plan.model.passthrough.filter((device) => all.has(device));
}

/** Adds controllers, vSMMUs and addresses for groups. */
class TopologyBuilder {
  readonly #plan: Plan;
  readonly #free: FreeBuses;
  readonly #added: NewElement[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#free = new FreeBuses(plan.model);
  }

  build(groups: readonly Group[], homes: ReadonlyMap<string, VirtualSmmu>): void {
    for (const group of groups) {
      const home = group.smmu === undefined ? undefined : homes.get(group.smmu);
      const bus = home?.pciBus ?? this.#addExpander(group);
      if (bus === undefined) return;
      for (const { device } of group.members) this.#moveBehind(device, bus, group);
    }
    this.#append();
  }

  #addExpander({ smmu, members }: Group): number | undefined {
    const [first] = members;
    if (first === undefined) return undefined;
    const index = this.#free.takeIndex();
    const busNr = this.#free.takeBusNumbers(members.length + 1);
    if (busNr === undefined || index === undefined) {
      this.#plan.refuse(
        first.device.element,
        'BUS_NUMBERS',
        `no PCI bus numbers are left for a vSMMU of ${smmu ?? 'its host SMMU'}`,
        'Remove PCI controllers that nothing uses, or pass fewer devices.',
      );
      return undefined;
    }
    const { numaNode } = first.features;
    const node = numaNode === undefined ? undefined : guestCellOf(this.#plan.model.root, numaNode);
    this.#added.push(expanderBus(index, busNr, node), vsmmu(index));
    return index;
  }

  #moveBehind(device: PassthroughDevice, bus: number, { smmu }: Group): void {
    const port = this.#free.takeIndex();
    const slot = this.#free.takeSlot(bus);
    if (port === undefined || slot === undefined) {
      this.#plan.refuse(
        device.element,
        'BUS_NUMBERS',
        `no PCI slot or bus number is left below bus ${bus}`,
        'Remove PCI controllers that nothing uses, or pass fewer devices.',
      );
      return;
    }
    this.#added.push(rootPort(port, bus, slot));
    const address = guestAddress(port);
    const { layout, edits } = this.#plan;
    const reason = {
      what: `${device.alias} moves to bus ${port}`,
      why: `the vSMMU of ${smmu ?? 'its host SMMU'} serves the bus above`,
    };
    const present = childOf(device.element, 'address');
    edits.push(
      present === undefined
        ? layout.append(device.element, [address], reason)
        : layout.replace(present, address, reason),
    );
  }

  #append(): void {
    const devices = this.#plan.model.root.children.find(
      ({ local, uri }) => local === 'devices' && uri === '',
    );
    if (devices === undefined || this.#added.length === 0) return;
    // iommus last: controllers are declared before what refers to them, as libvirt itself writes them.
    const [iommus, controllers] = [true, false].map((iommu) =>
      this.#added.filter(({ name }) => (name === 'iommu') === iommu),
    );
    this.#plan.edits.push(
      this.#plan.layout.append(devices, [...(controllers ?? []), ...(iommus ?? [])], {
        what: `<devices> gets ${(iommus ?? []).length} vSMMU(s) and ${(controllers ?? []).length} PCI controller(s)`,
        why: 'each host SMMU needs a vSMMU on a bus of its own, with a root port for every device',
      }),
    );
  }
}
