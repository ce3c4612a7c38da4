import { bdfParts, type Bdf } from '../bdf.js';
import { known, unknown, type Answer } from '../smmu/answer.js';
import { remedyFor, type HostSource, type Read } from './host-source.js';

const IORT = '/sys/firmware/acpi/tables/IORT';

/** Offsets in the IO Remapping Table (Arm DEN 0049, struct acpi_table_iort and its nodes in include/acpi/actbl2.h). */
const TABLE_LENGTH = 4;
const NODE_COUNT = 36;
const FIRST_NODE = 40;
const NODE_HEADER = 16;
const NODE_LENGTH = 1;
const ROOT_COMPLEX = 2;
const ATS_ATTRIBUTE = NODE_HEADER + 8;
const SEGMENT = NODE_HEADER + 12;
const ATS_SUPPORTED = 1;

/** What firmware says of ATS, by PCI segment. Linux takes one root complex for each segment (drivers/acpi/arm64/iort.c). */
export type RootComplexAts = ReadonlyMap<number, boolean>;

/** @returns a reason where the bytes are no whole table */
export function parseIort(bytes: Uint8Array): RootComplexAts | string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < FIRST_NODE + 4 || Buffer.from(bytes.subarray(0, 4)).toString('latin1') !== 'IORT')
    return 'it does not begin as an IORT';
  if (view.getUint32(TABLE_LENGTH, true) !== bytes.length) return 'its length is not the one it tells';
  const found = new Map<number, boolean>();
  let node = view.getUint32(FIRST_NODE, true);
  for (let count = view.getUint32(NODE_COUNT, true); count > 0; count -= 1) {
    if (node + NODE_HEADER > bytes.length) return 'a node lies outside of it';
    const length = view.getUint16(node + NODE_LENGTH, true);
    if (length < NODE_HEADER || node + length > bytes.length) return 'a node has an impossible length';
    if (bytes[node] === ROOT_COMPLEX && length >= SEGMENT + 4) {
      const segment = view.getUint32(node + SEGMENT, true);
      const ats = (view.getUint32(node + ATS_ATTRIBUTE, true) & ATS_SUPPORTED) !== 0;
      if (!found.has(segment)) found.set(segment, ats);
    }
    node += length;
  }
  return found;
}

/**
 * Does firmware allow ATS on the root complex above a device? Without its word the kernel never enables ATS
 * (arm_smmu_ats_supported(), drivers/iommu/arm/arm-smmu-v3): a no is definite, a yes only one condition of several.
 * The table and each host bridge are read once.
 */
export class FirmwareAts {
  readonly #source: HostSource;
  readonly #iort: Answer<RootComplexAts>;
  readonly #bridges = new Map<string, Answer<boolean> | undefined>();

  constructor(source: HostSource) {
    this.#source = source;
    this.#iort = readIort(source);
  }

  /** @param link the function's link in /sys/bus/pci/devices */
  of(bdf: Bdf, link: Read<string>): Answer<boolean> {
    const iort = this.#iort;
    if (!iort.known) return this.#deviceTree(link) ?? iort;
    const { domain } = bdfParts(bdf);
    const ats = iort.value.get(domain);
    return ats === undefined
      ? unknown(
          `the IORT has no root complex of PCI segment ${domain}`,
          'Ask the vendor for a corrected IORT.',
        )
      : known(ats, {
          reading: `root complex of segment ${domain}: ats_attribute bit 0 = ${ats ? 1 : 0}`,
          source: IORT,
        });
  }

  #deviceTree(link: Read<string>): Answer<boolean> | undefined {
    const bridge = link.ok ? HOST_BRIDGE.exec(link.value)?.[1] : undefined;
    if (bridge === undefined) return undefined;
    if (!this.#bridges.has(bridge)) this.#bridges.set(bridge, deviceTreeAts(this.#source, bridge));
    return this.#bridges.get(bridge);
  }
}

function readIort(source: HostSource): Answer<RootComplexAts> {
  const bytes = source.readBytes(IORT);
  if (!bytes.ok)
    return unknown(
      bytes.errno === 'ENOENT' ? 'the host has no ACPI IORT' : bytes.because,
      remedyFor(bytes, 'Read it as root.'),
    );
  const parsed = parseIort(bytes.value);
  return typeof parsed === 'string'
    ? unknown(`${IORT} cannot be understood: ${parsed}`, 'Record the host again as root.')
    : known(parsed, { reading: `${parsed.size} root complexes`, source: IORT });
}

/** What stands above the root bus on a function's path: with a device tree, a platform device. */
const HOST_BRIDGE = /(?:^|\/)(devices\/.*?)\/pci[0-9a-f]{4,}:[0-9a-f]{2}\//;

/** The property `ats-supported` of the host bridge's node; Linux reads it from 6.11 on. */
function deviceTreeAts(source: HostSource, bridge: string): Answer<boolean> | undefined {
  const node = `/sys/${bridge}/of_node`;
  const there = source.exists(node);
  if (!there.ok || !there.value) return undefined;
  const property = `${node}/ats-supported`;
  const found = source.exists(property);
  return found.ok
    ? known(found.value, { reading: found.value ? 'exists' : 'does not exist', source: property })
    : undefined;
}
