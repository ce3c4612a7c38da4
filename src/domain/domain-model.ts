import { formatBdf, type Bdf } from '../bdf.js';
import { VsmmuError } from '../errors.js';
import { hostdevAliases, iommuAliases } from './alias.js';
import { applyEdits, type Edit } from './edit.js';
import { attribute, childOf, childrenOf, descend, type XmlElement } from './element.js';
import { parseLibvirtNumber } from './libvirt-number.js';
import { readOverrides, type Overrides } from './override.js';
import { placeOf } from './place.js';
import { scanXml } from './scan.js';
import { untouchedElements } from './untouched.js';

/** Guest PCI address; libvirt reads missing parts as 0. */
export interface GuestAddress {
  readonly element: XmlElement;
  readonly bus: number;
  readonly slot: number;
  readonly fn: number;
}

/**
 * Where libvirt puts a device: as written, where it likes, or (type='unassigned') nowhere the guest sees; it refuses
 * the domain where the address is none.
 */
export type Placement =
  | { readonly kind: 'at'; readonly address: GuestAddress }
  | { readonly kind: 'chosen-by-libvirt' }
  | { readonly kind: 'hidden' }
  | { readonly kind: 'unreadable'; readonly element: XmlElement };

/** A PCI device given to the guest: `<hostdev type='pci'>` or SR-IOV's `<interface type='hostdev'>`. */
export interface PassthroughDevice {
  readonly element: XmlElement;
  /** undefined where the source address is none. */
  readonly bdf: Bdf | undefined;
  readonly alias: string;
  readonly placement: Placement;
}

export interface PciController {
  readonly element: XmlElement;
  readonly index: number;
  readonly model: string;
  /** Bus of its own address; undefined where libvirt chooses. */
  readonly bus: number | undefined;
}

/** `<iommu model='smmuv3'>` */
export interface VirtualSmmu {
  readonly element: XmlElement;
  /** The first `<driver>`; libvirt ignores others. */
  readonly driver: XmlElement | undefined;
  /** Index of the PCI controller it serves; undefined for the machine-wide kind. */
  readonly pciBus: number | undefined;
  readonly alias: string;
}

/** What the rewriter knows of a domain. Built once, from the tree alone. */
export interface DomainModel {
  readonly text: string;
  readonly source: string;
  readonly root: XmlElement;
  /** Every child of `<devices>` in no namespace. */
  readonly devices: readonly XmlElement[];
  /** `<iommu>` of every model. */
  readonly iommus: readonly XmlElement[];
  readonly smmus: readonly VirtualSmmu[];
  /** By index. */
  readonly controllers: ReadonlyMap<number, PciController>;
  readonly passthrough: readonly PassthroughDevice[];
  readonly overrides: Overrides;
}

/**
 * Parts that nothing here depends on and that can be most of a domain: anybody's metadata, and the distances between
 * NUMA cells, which grow with the square of their number.
 */
const leaves = new Set(['metadata', 'distances']);

/** @throws VsmmuError XML_*, NOT_A_DOMAIN */
export function parseDomain(text: string, source: string): DomainModel {
  return readDomain(scanXml(text, source, { leaves }), text, source);
}

/**
 * The domain after edits; the model itself where there are none. Of the text, only what they changed is read again.
 * @throws VsmmuError XML_*, NOT_A_DOMAIN
 */
export function editedDomain(model: DomainModel, edits: readonly Edit[]): DomainModel {
  if (edits.length === 0) return model;
  const { root, source } = model;
  const text = applyEdits(model.text, edits);
  const untouched = untouchedElements(root, edits);
  return readDomain(scanXml(text, source, { leaves, untouched }), text, source);
}

/** @throws VsmmuError NOT_A_DOMAIN */
export function readDomain(root: XmlElement, text: string, source: string): DomainModel {
  if (root.local !== 'domain' || root.uri !== '')
    throw new VsmmuError('NOT_A_DOMAIN', `the root element is <${root.name}>, not <domain>`, {
      place: placeOf(source, text, root.start),
      remedy: 'Give the XML of one libvirt domain, as "virsh dumpxml" prints it.',
    });
  const devices = childrenOf(root, 'devices').flatMap((list) =>
    list.children.filter(({ uri }) => uri === ''),
  );
  const named = (local: string) => devices.filter((device) => device.local === local);
  return {
    text,
    source,
    root,
    devices,
    iommus: named('iommu'),
    smmus: readSmmus(named('iommu')),
    controllers: readControllers(named('controller')),
    passthrough: readPassthrough(named('interface'), named('hostdev')),
    overrides: readOverrides(root),
  };
}

export function placeInDomain(model: DomainModel, element: XmlElement): string {
  return placeOf(model.source, model.text, element.start);
}

function readSmmus(iommus: readonly XmlElement[]): VirtualSmmu[] {
  const aliases = iommuAliases(iommus);
  return iommus
    .filter((element) => attribute(element, 'model') === 'smmuv3')
    .map((element) => {
      const driver = childOf(element, 'driver');
      const pciBus = parseLibvirtNumber(attribute(driver, 'pciBus') ?? '', 10);
      // libvirt reads -1 as "absent".
      return {
        element,
        driver,
        pciBus: pciBus === -1 ? undefined : pciBus,
        alias: aliases.get(element) ?? '',
      };
    });
}

/** Controllers without an index get the lowest free ones, in document order (virDomainControllerFindUnusedIndex()). */
function readControllers(elements: readonly XmlElement[]): Map<number, PciController> {
  const controllers = new Map<number, PciController>();
  const unnumbered: PciController[] = [];
  for (const element of elements) {
    if (attribute(element, 'type') !== 'pci') continue;
    const model = attribute(element, 'model') ?? '';
    const written = parseLibvirtNumber(attribute(element, 'index') ?? '', 10);
    const index = written ?? (model === 'pcie-root' || model === 'pci-root' ? 0 : undefined);
    const controller = { element, model, bus: readAddress(element)?.bus, index: index ?? -1 };
    if (index === undefined) unnumbered.push(controller);
    else if (!controllers.has(index)) controllers.set(index, controller);
  }
  let free = 1;
  for (const controller of unnumbered) {
    while (controllers.has(free)) free++;
    controllers.set(free, { ...controller, index: free });
  }
  return controllers;
}

/**
 * libvirt reads interfaces before hostdevs and lists SR-IOV ones among its hostdevs at once, so they come first
 * there, whatever the order in the document. Hostdevs of other kinds take alias numbers too.
 */
function readPassthrough(
  interfaces: readonly XmlElement[],
  hostdevs: readonly XmlElement[],
): PassthroughDevice[] {
  const virtualFunctions = interfaces.filter((element) => attribute(element, 'type') === 'hostdev');
  const all = [...virtualFunctions, ...hostdevs];
  const aliases = hostdevAliases(all);
  return all
    .filter((element) => virtualFunctions.includes(element) || isPciSubsystem(element))
    .map((element) => ({
      element,
      bdf: readBdf(descend(element, 'source', 'address')),
      alias: aliases.get(element) ?? '',
      placement: readPlacement(element),
    }));
}

/** KubeVirt leaves `mode` out and libvirt takes that as 'subsystem'. */
function isPciSubsystem(hostdev: XmlElement): boolean {
  return attribute(hostdev, 'type') === 'pci' && (attribute(hostdev, 'mode') ?? 'subsystem') === 'subsystem';
}

function readBdf(address: XmlElement | undefined): Bdf | undefined {
  if (address === undefined) return undefined;
  const part = (name: string) => parseLibvirtNumber(attribute(address, name) ?? '0', 0) ?? -1;
  return formatBdf(part('domain'), part('bus'), part('slot'), part('function'));
}

/** Highest PCI domain, bus, slot and function that libvirt takes for a guest address (12.8: "Only PCI domain 0 is available"). */
const ADDRESS_MAX = { domain: 0, bus: 255, slot: 31, function: 7 } as const;

/** libvirt chooses too where an address says nothing but zeros: slot 0 of pcie.0 is the host bridge's. */
function readPlacement(device: XmlElement): Placement {
  const element = childOf(device, 'address');
  const type = attribute(element, 'type');
  if (type === 'unassigned') return { kind: 'hidden' };
  if (element === undefined || type !== 'pci') return { kind: 'chosen-by-libvirt' };
  const part = (name: keyof typeof ADDRESS_MAX) => {
    const value = parseLibvirtNumber(attribute(element, name) ?? '0', 0);
    return value !== undefined && value >= 0 && value <= ADDRESS_MAX[name] ? value : undefined;
  };
  const [domain, bus, slot, fn] = [part('domain'), part('bus'), part('slot'), part('function')];
  if (domain === undefined || bus === undefined || slot === undefined || fn === undefined)
    return { kind: 'unreadable', element };
  if (bus === 0 && slot === 0 && fn === 0) return { kind: 'chosen-by-libvirt' };
  return { kind: 'at', address: { element, bus, slot, fn } };
}

/** undefined where there is none, or none that libvirt would take for a PCI address. */
export function readAddress(device: XmlElement): GuestAddress | undefined {
  const placement = readPlacement(device);
  return placement.kind === 'at' ? placement.address : undefined;
}
