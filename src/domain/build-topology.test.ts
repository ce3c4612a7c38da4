import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { HOSTDEV, oneGpu } from '../../test/fixtures/domain/documents.js';
import { graceHost, hostWith, type DeviceSpec } from '../../test/fixtures/domain/host.js';
import type { HostFeatures } from '../smmu/features.js';
import { readDomain, type DomainModel } from './domain-model.js';
import { attribute, childOf, descend } from './element.js';
import { DomainRefused } from './refused.js';
import { rewriteDomain, type RewriteOptions } from './rewrite.js';
import { scanXml } from './scan.js';
import { readTopology } from './topology.js';

const COMPLETE = { topology: 'complete' } as const;

interface Hostdev {
  readonly bdf: string;
  readonly extra?: string;
}

function hostdev({ bdf, extra = '' }: Hostdev): string {
  const [domain, bus, slot, fn] = bdf.split(/[:.]/);
  return `    <hostdev type='pci' managed='no'>
      <source>
        <address domain='0x${domain}' bus='0x${bus}' slot='0x${slot}' function='0x${fn}'/>
      </source>${extra}
    </hostdev>
`;
}

function domain(devices: string, rest = ''): string {
  return `<domain type='kvm'>
  <name>plain</name>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
  </os>
${rest}  <devices>
${devices}  </devices>
</domain>
`;
}

function model(text: string): DomainModel {
  return readDomain(scanXml(text, 'test'), text, 'test');
}

/** Host addresses behind each vSMMU, by pciBus. */
function served(text: string): Record<string, string[]> {
  const read = model(text);
  const { behind } = readTopology(read);
  return Object.fromEntries(
    [...behind].map(([smmu, devices]) => [String(smmu.pciBus), devices.map(({ bdf }) => String(bdf))]),
  );
}

function complete(text: string, host: HostFeatures, options: RewriteOptions = {}): string {
  const once = rewriteDomain(text, host, { ...COMPLETE, ...options }).text;
  expect(rewriteDomain(once, host, { ...COMPLETE, ...options }).text).toBe(once);
  return once;
}

function refusals(text: string, host: HostFeatures, options: RewriteOptions = COMPLETE): string[] {
  try {
    rewriteDomain(text, host, options);
    return [];
  } catch (error) {
    if (error instanceof DomainRefused) return error.findings.map(({ code }) => code);
    throw error;
  }
}

const A = '0002:01:00.0';
const B = '0002:02:00.0';
const C = '0003:01:00.0';
const host = hostWith({
  [A]: { smmu: 'smmu3.0xa', numaNode: 0 },
  [B]: { smmu: 'smmu3.0xa', numaNode: 0 },
  [C]: { smmu: 'smmu3.0xc', numaNode: 1 },
});

describe('complete', () => {
  test('one device', () => {
    const text = complete(domain(hostdev({ bdf: A })), host);
    expect(text).toBe(
      `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>plain</name>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
  </os>
  <devices>
    <hostdev type='pci' managed='no'>
      <driver iommufd='yes'/>
      <source>
        <address domain='0x0002' bus='0x01' slot='0x00' function='0x0'/>
      </source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </hostdev>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <target busNr='254'/>
    </controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </controller>
    <iommu model='smmuv3'>
      <driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>
    </iommu>
  </devices>
  <iommufd enabled='yes'/>
  <qemu:override>
    <qemu:device alias='hostdev0'>
      <qemu:frontend>
        <qemu:property name='ats' type='string' value='on'/>
      </qemu:frontend>
    </qemu:device>
  </qemu:override>
</domain>
`,
    );
  });

  test('one vSMMU for each host SMMU, one root port for each device, whatever the order', () => {
    const forwards = complete(domain([A, B, C].map((bdf) => hostdev({ bdf })).join('')), host);
    const backwards = complete(domain([C, B, A].map((bdf) => hostdev({ bdf })).join('')), host);
    expect(served(forwards)).toEqual({ 1: [A, B], 4: [C] });
    expect(served(backwards)).toEqual({ 1: [B, A], 4: [C] });
  });

  test('expander buses leave room for their ports and stand on the guest node of the host node', () => {
    const numa = `  <cpu><numa><cell id='0' memory='1'/><cell id='1' memory='1'/></numa></cpu>
  <numatune><memnode cellid='0' nodeset='0'/><memnode cellid='1' nodeset='1'/></numatune>
`;
    const text = complete(domain([A, B, C].map((bdf) => hostdev({ bdf })).join(''), numa), host);
    const expanders = [...model(text).controllers.values()].filter(({ model: kind }) =>
      kind.startsWith('pcie-expander'),
    );
    const facts = expanders.map(({ element }) => {
      const target = childOf(element, 'target');
      const node = childOf(target, 'node');
      return [attribute(target, 'busNr'), node && text.slice(node.openEnd, node.closeStart)];
    });
    // 254 - 2 for the second: the first has two ports below it, and needs three numbers.
    expect(facts).toEqual([
      ['252', '0'],
      ['250', '1'],
    ]);
  });

  test('a host node without a guest cell of its own: no node is written', () => {
    const numa = `  <cpu><numa><cell id='0' memory='1'/><cell id='1' memory='1'/></numa></cpu>
`;
    expect(complete(domain(hostdev({ bdf: A }), numa), host)).not.toContain('<node>');
  });

  test('what is there already is used, never renumbered', () => {
    const second = hostdev({ bdf: '0019:01:00.0' });
    const text = oneGpu({ hostdev: HOSTDEV + second });
    const same = graceHost({}, { smmu: 'smmu3.0x0000000011000000' });
    const result = complete(text, same);
    expect(served(result)).toEqual({ 1: ['0009:01:00.0', '0019:01:00.0'] });
    expect(result).toContain("<address type='pci' domain='0x0000' bus='0x01' slot='0x01' function='0x0'/>");
    expect(served(complete(text, graceHost()))).toEqual({ 1: ['0009:01:00.0'], 3: ['0019:01:00.0'] });
  });

  test('an address on pcie.0 gives way; a hidden device stays hidden', () => {
    const at = hostdev({ bdf: A, extra: "<address type='pci' bus='0x00' slot='0x05' multifunction='on'/>" });
    const hidden = hostdev({ bdf: B, extra: "<address type='unassigned'/>" });
    const text = complete(domain(at + hidden), host);
    expect(Object.values(served(text))).toEqual([[A]]);
    expect(text).toContain("<address type='unassigned'/>");
    expect(text).not.toContain('multifunction');
  });

  test('a virtual function as an interface', () => {
    const vf = `    <interface type='hostdev'>
      <source><address type='pci' domain='0x0002' bus='0x01' slot='0x00' function='0x0'/></source>
    </interface>
`;
    const text = complete(domain(vf), host);
    expect(Object.values(served(text))).toEqual([[A]]);
    expect(text).toContain("<iommufd enabled='yes'/>");
  });

  test('a vSMMU that lost its accel on the way gets it back', () => {
    const text = oneGpu({ driver: "<driver pciBus='1'/>" });
    expect(complete(text, graceHost())).toContain("<driver pciBus='1' accel='on' ats='on'");
    const off = oneGpu({ driver: "<driver pciBus='1' accel='off'/>" });
    expect(complete(off, graceHost())).toContain("<driver pciBus='1' accel='off'/>");
  });

  test.each([
    ['x86', "arch='x86_64' machine='q35'"],
    ['another Arm machine', "arch='aarch64' machine='sbsa-ref'"],
  ])('%s is left alone', (_, type) => {
    const text = domain(hostdev({ bdf: A })).replace("arch='aarch64' machine='virt'", type);
    expect(complete(text, host)).toBe(text);
  });

  test.each([
    ['the attribute', "<driver pciBus='1' accel='off'/>", ''],
    ['the override alone', "<driver pciBus='1'/>", "type='bool' value='false'"],
    ['the override before the attribute', "<driver pciBus='1' accel='on'/>", "type='bool' value='false'"],
    ['an override that takes accel away', "<driver pciBus='1' accel='on'/>", "type='remove'"],
  ])('a vSMMU that is off by %s stays as it is, and takes no more devices', (_, driver, said) => {
    const entry = `<qemu:override xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:device alias='iommu0'><qemu:frontend><qemu:property name='accel' ${said}/></qemu:frontend></qemu:device></qemu:override>`;
    const parts = { driver, after: said === '' ? '' : entry };
    expect(complete(oneGpu(parts), graceHost())).toBe(oneGpu(parts));
    const mate = hostdev({ bdf: '0009:02:00.0' });
    const host = hostWith({ '0009:01:00.0': {}, '0009:02:00.0': {} });
    const both = complete(oneGpu({ ...parts, hostdev: HOSTDEV + mate }), host);
    expect(both).toContain(driver);
    expect(Object.values(served(both))).toEqual([['0009:01:00.0'], ['0009:02:00.0']]);
  });

  test.each([
    ["<address type='pci'/>"],
    ["<address type='pci' domain='0x0000' bus='0x00' slot='0x00' function='0x0'/>"],
  ])('%s, which leaves the place to libvirt, gives way', (address) => {
    const text = complete(
      domain(hostdev({ bdf: '0009:01:00.0', extra: `\n      ${address}` })),
      hostWith({ '0009:01:00.0': {} }),
    );
    expect(text).not.toContain(address);
    expect(served(text)).toEqual({ '1': ['0009:01:00.0'] });
  });

  test('no passed-through device: nothing to do', () => {
    for (const text of [
      domain(''),
      domain("    <iommu model='smmuv3'/>\n"),
      domain("    <iommu model='virtio'/>\n"),
    ])
      expect(complete(text, host)).toBe(text);
  });

  test("a guest address that libvirt would not take is no place to move from, nor libvirt's to choose", () => {
    const address = "<address type='pci' bus='0x100'/>";
    expect(refusals(domain(hostdev({ bdf: A, extra: address })), host)).toEqual(['DOMAIN_VALUE']);
  });

  test("Generic Initiators beyond QEMU's 128 nodes are refused", () => {
    const text = domain([C, A].map((bdf) => hostdev({ bdf })).join(''), numa);
    expect(refusals(text, host, { ...COMPLETE, initiators: 64 })).toEqual(['NODESET']);
    expect(complete(text, host, { initiators: 63 })).toContain("nodeset='64-126'");
  });

  test.each([
    ['an unknown device', domain(hostdev({ bdf: '0042:01:00.0' })), ['HOSTDEV_UNKNOWN']],
    ['a machine-wide vSMMU', domain(`${hostdev({ bdf: A })}    <iommu model='smmuv3'/>\n`), ['IOMMU_MIX']],
    ['another iommu', domain(`${hostdev({ bdf: A })}    <iommu model='virtio'/>\n`), ['IOMMU_MIX']],
  ])('refused: %s', (_, text, codes) => {
    expect(refusals(text, host)).toEqual(codes);
  });

  test('iommufd that somebody switched off is switched on, or with keep refused', () => {
    const text = domain(hostdev({ bdf: A, extra: "<driver iommufd='no'/>" })).replace(
      '</domain>',
      "  <iommufd enabled='no' fdgroup='x'/>\n</domain>",
    );
    const result = complete(text, host);
    expect(result).toContain("<driver iommufd='yes'/>");
    expect(result).toContain("<iommufd enabled='yes' fdgroup='x'/>");
    expect(refusals(text, host, { ...COMPLETE, existing: 'keep' })).toEqual([
      'IOMMUFD_REQUIRED',
      'IOMMUFD_REQUIRED',
    ]);
  });

  const numa = `  <cpu>
    <numa>
      <cell id='0' cpus='0' memory='1' unit='GiB'/>
    </numa>
  </cpu>
`;

  test('Generic Initiators: cells of its own for each device, in the order of addresses', () => {
    const text = domain([C, A].map((bdf) => hostdev({ bdf })).join(''), numa);
    const result = complete(text, host, { initiators: 2 });
    expect(result).toContain(`      <cell id='0' cpus='0' memory='1' unit='GiB'/>
      <cell id='1' memory='0' unit='KiB'/>
      <cell id='2' memory='0' unit='KiB'/>
      <cell id='3' memory='0' unit='KiB'/>
      <cell id='4' memory='0' unit='KiB'/>
    </numa>`);
    const sets = model(result).passthrough.map(({ bdf, element }) => [
      bdf,
      attribute(childOf(element, 'acpi'), 'nodeset'),
    ]);
    expect(sets).toEqual([
      [C, '3-4'],
      [A, '1-2'],
    ]);
  });

  test('Generic Initiators: a nodeset that stands is kept; without guest cells they are refused', () => {
    const kept = hostdev({ bdf: A, extra: "<acpi nodeset='0'/>" });
    expect(complete(domain(kept, numa), host, { initiators: 8 })).not.toContain("memory='0'");
    const bare = domain(hostdev({ bdf: A }));
    expect(refusals(bare, host, { ...COMPLETE, initiators: 8 })).toEqual(['NODESET']);
  });

  test("policy off touches nothing, not even KubeVirt's placeholders", () => {
    const text = oneGpu();
    expect(rewriteDomain(text, host, { topology: 'off' }).text).toBe(text);
  });

  test("KubeVirt's structs drop what they do not know between calls, and the next call puts it back", () => {
    const first = complete(domain(hostdev({ bdf: A })), host, { target: 'both' });
    const filtered = first
      .replace(/ {2}<qemu:override>[\s\S]*<\/qemu:override>\n/, '')
      .replace(/ ssidsize='20'/, '')
      .replace(/ mode='subsystem'/, '');
    expect(filtered).not.toBe(first);
    const second = complete(filtered, host, { target: 'both' });
    expect(served(second)).toEqual(served(first));
    expect(second).toBe(first);
  });

  const specs = fc.dictionary(
    fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 0, max: 3 }))
      .map(([bus, slot]) => `0002:0${bus}:0${slot}.0`),
    fc.record({ smmu: fc.constantFrom('smmu3.0xa', 'smmu3.0xb', 'smmu3.0xc') }),
    { minKeys: 1, maxKeys: 12 },
  );
  test('every device ends behind a vSMMU of its own host SMMU only, with unique places', () => {
    fc.assert(
      fc.property(specs, fc.infiniteStream(fc.nat()), (devices: Record<string, DeviceSpec>, random) => {
        const many = hostWith(devices);
        const order = Object.keys(devices)
          .map((bdf) => [random.next().value, bdf] as const)
          .sort(([a], [b]) => a - b);
        const text = complete(domain(order.map(([, bdf]) => hostdev({ bdf })).join('')), many);
        const read = model(text);
        const { behind } = readTopology(read);
        const groups = [...behind.values()].map(
          (group) => new Set(group.map(({ bdf }) => many.devices.get(bdf!)?.smmu.name)),
        );
        expect(groups.every((names) => names.size === 1)).toBe(true);
        expect([...behind.values()].flat()).toHaveLength(Object.keys(devices).length);
        const places = read.devices.flatMap((device) => {
          const address = childOf(device, 'address');
          return address === undefined ? [] : [`${attribute(address, 'bus')}/${attribute(address, 'slot')}`];
        });
        expect(new Set(places).size).toBe(places.length);
        expect(descend(read.root, 'iommufd')).toBeDefined();
      }),
      { numRuns: 60 },
    );
  });
});

describe('regroup', () => {
  const mixed = () => {
    const second = HOSTDEV.replace("'0x0009'", "'0x0019'")
      .replace('ua-gpu0', 'ua-gpu1')
      .replace("bus='0x02' slot='0x00'", "bus='0x02' slot='0x01'");
    return oneGpu({ hostdev: HOSTDEV + second });
  };

  test('devices of two host SMMUs behind one vSMMU are refused without it, and named', () => {
    expect(refusals(mixed(), graceHost(), {})).toEqual(['MIXED_SMMUS']);
    expect(() => rewriteDomain(mixed(), graceHost())).toThrow(
      /0019:01:00\.0 is behind smmu3\.0x0000000015000000, 0009:01:00\.0 behind smmu3\.0x0000000011000000/,
    );
  });

  test('they are split', () => {
    const text = rewriteDomain(mixed(), graceHost(), { regroup: true }).text;
    expect(served(text)).toEqual({ 1: ['0009:01:00.0'], 3: ['0019:01:00.0'] });
    expect(rewriteDomain(text, graceHost(), { regroup: true }).text).toBe(text);
  });

  test('nothing is moved where nothing is mixed', () => {
    const text = rewriteDomain(oneGpu(), graceHost()).text;
    expect(rewriteDomain(text, graceHost(), { regroup: true }).text).toBe(text);
  });
});

describe('accelLost', () => {
  const whole = oneGpu({
    driver: "<driver pciBus='1' accel='on' ats='on' ril='off' ssidSize='20' oas='48'/>",
  });
  const dropped = oneGpu({ driver: "<driver pciBus='1'/>" });

  test('a vSMMU whose attributes a pipeline dropped is resolved as if they were there', () => {
    const target = 'both';
    const healed = rewriteDomain(dropped, graceHost(), { accelLost: true, target }).text;
    const words = (text: string) => text.split(/[\s/>]+/).toSorted();
    expect(words(healed)).toEqual(words(rewriteDomain(whole, graceHost(), { target }).text));
  });

  test('without it the document is left alone', () => {
    expect(rewriteDomain(dropped, graceHost()).text).toBe(dropped);
  });
});
