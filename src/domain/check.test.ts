import { describe, expect, test } from '@jest/globals';

import { HOSTDEV, oneGpu } from '../../test/fixtures/domain/documents.js';
import { graceHost, hostWith } from '../../test/fixtures/domain/host.js';
import { smmuFeatures } from '../smmu/compatibility.js';
import type { HostFeatures } from '../smmu/features.js';

import { checkDomain, type CheckOptions } from './check.js';
import { rewriteDomain } from './rewrite.js';

const GOOD = "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>";

function check(text: string, host: HostFeatures = graceHost(), options?: CheckOptions) {
  return checkDomain(text, host, options);
}

test('a rewritten domain passes', () => {
  expect(check(rewriteDomain(oneGpu(), graceHost()).text)).toEqual([]);
});

test('a domain without vSMMU passes, whatever the host', () => {
  expect(check("<domain type='qemu'><devices/></domain>", hostWith({}))).toEqual([]);
});

/** IDR0..IDR5 of a capable SMMU, with one word changed. */
function hostWithWord(index: number, change: (word: number) => number): HostFeatures {
  const words: [number, number, number, number, number, number] = [
    0x0d4c169b, 0x02730510, 0, 0x1404, 0, 0x75,
  ];
  words[index] = change(words[index] ?? 0) >>> 0;
  const host = graceHost();
  const [device] = host.devices.values();
  const smmu = smmuFeatures('smmu3.0x1', 2, words, undefined);
  return { ...host, devices: new Map([[device!.bdf, { ...device!, smmu }]]) };
}

describe("QEMU's own words are predicted", () => {
  test.each([
    [
      'stream table',
      0,
      (w: number) => w & ~(3 << 27),
      GOOD,
      'Host SMMUv3 Stream Table format mismatch (host STLEVEL=0, QEMU STLEVEL=1)',
    ],
    [
      'endianness',
      0,
      (w: number) => w | (3 << 21),
      GOOD,
      "Host SMMUv3 doesn't support Little-endian translation table",
    ],
    [
      'table format',
      0,
      (w: number) => (w & ~0xc) | 0x4,
      GOOD,
      "Host SMMUv3 doesn't support AArch64 translation table format",
    ],
    [
      'StreamID bits',
      1,
      (w: number) => (w & ~0x3f) | 8,
      GOOD,
      'Host SMMUv3 SIDSIZE not compatible (host=8, QEMU=16)',
    ],
    [
      'substream id bits',
      1,
      (w: number) => (w & ~0x7c0) | (16 << 6),
      GOOD,
      'Host SMMUv3 SSIDSIZE not compatible (host=16, QEMU=20)',
    ],
    ['range invalidation', 3, () => 0x4, GOOD, "Host SMMUv3 doesn't support Range Invalidation"],
    [
      'output address',
      5,
      () => 0x74,
      GOOD,
      'Host SMMUv3 supports only 44-bit IPA, but the vSMMU OAS implies 48-bit IPA',
    ],
    [
      'ATS',
      0,
      (w: number) => w & ~(1 << 10),
      GOOD,
      "Host SMMUv3 doesn't support Address Translation Services",
    ],
    ['4K granule', 5, (w: number) => w & ~0x10, GOOD, "Host SMMUv3 doesn't support 4K translation granule"],
    ['16K granule', 5, (w: number) => w & ~0x20, GOOD, "Host SMMUv3 doesn't support 16K translation granule"],
    ['64K granule', 5, (w: number) => w & ~0x40, GOOD, "Host SMMUv3 doesn't support 64K translation granule"],
  ])('%s', (_, index, change, driver, expected) => {
    const findings = check(oneGpu({ driver }), hostWithWord(index, change));
    expect(findings.map(({ qemu }) => qemu)).toEqual([expected]);
    expect(findings[0]).toMatchObject({
      place: 'domain XML:20:5',
      message: expect.stringMatching(/^iommu0: .*0009:01:00\.0/) as unknown,
      remedy: expect.stringMatching(/\w/) as unknown,
    });
    expect(findings[0]!.message).toContain('smmu3.0x1');
  });

  test.each([
    ['ril', "ril='off'", 'ril can only be disabled if accel=on'],
    ['ats', "ats='on'", 'ats can only be enabled if accel=on'],
    ['oas', "oas='48'", 'OAS must be 44 bits when accel=off'],
    ['ssidsize', "ssidsize='1'", 'ssidsize can only be greater than 0 bits if accel=on'],
  ])('%s without accel', (_, attributes, expected) => {
    const driver = `<driver pciBus='1' ${attributes}/>`;
    expect(check(oneGpu({ driver })).map(({ code, qemu }) => [code, qemu])).toEqual([
      ['DOMAIN_VALUE', undefined],
      ['ACCEL_REQUIRED', expected],
    ]);
  });

  test('nothing to resolve auto from', () => {
    expect(check(oneGpu({ hostdev: '' })).map(({ qemu }) => qemu)).toEqual([
      "arm-smmuv3 accel=on with 'auto' properties requires at least one cold-plugged VFIO device",
    ]);
  });

  test('no iommufd', () => {
    const hostdev = HOSTDEV.replace("<driver iommufd='yes'/>", '');
    expect(check(oneGpu({ driver: GOOD, hostdev })).map(({ code, qemu }) => [code, qemu])).toEqual([
      [
        'IOMMUFD_REQUIRED',
        'vfio-pci endpoint devices without an iommufd backend not allowed when using arm-smmuv3,accel=on',
      ],
    ]);
  });

  test('an emulated device', () => {
    const rng = `<rng model='virtio'><address type='pci' bus='0x02' slot='0x01'/></rng>${HOSTDEV}`;
    expect(check(oneGpu({ driver: GOOD, hostdev: rng })).map(({ code, qemu }) => [code, qemu])).toEqual([
      ['EMULATED_DEVICE', 'Emulated endpoint devices are not allowed when using arm-smmuv3,accel=on'],
    ]);
  });

  test.each([
    ['QEMU 11.0', { qemu: '11.0' }, 'virt'],
    ['an older machine type', {}, 'virt-11.0'],
  ] as const)('%s has fixed defaults: RIL on', (_, options, machine) => {
    const os = `<os><type arch='aarch64' machine='${machine}'>hvm</type></os>`;
    const text = oneGpu().replace('<devices>', `${os}<devices>`);
    const weak = graceHost({ limits: { ril: false } });
    expect(check(text, weak, options).map(({ code }) => code)).toEqual(['HOST_RIL']);
    expect(check(text.replace('virt-11.0', 'virt-11.1'), weak)).toEqual([]);
  });
});

describe('what libvirt lets pass', () => {
  const codes = (text: string) => check(text).map(({ code }) => code);

  test.each([
    ['auto, which it refuses', "<driver pciBus='1' accel='on' ats='auto'/>", ['DOMAIN_VALUE']],
    ['a misspelt attribute', "<driver pciBus='1' accel='on' ssidSize='20'/>", ['IGNORED']],
    [
      'ssidsize above 20',
      "<driver pciBus='1' accel='on' ssidsize='21'/>",
      ['VALUE_NOT_IMPLEMENTED', 'HOST_SSIDSIZE'],
    ],
    ['oas 40', "<driver pciBus='1' accel='on' oas='40'/>", ['VALUE_NOT_IMPLEMENTED']],
    ['accel without bus', "<driver accel='on'/>", ['IOMMU_BUS', 'AUTO_NEEDS_COLD_PLUG']],
    ['a root port as bus', "<driver pciBus='2' accel='on'/>", ['IOMMU_BUS', 'AUTO_NEEDS_COLD_PLUG']],
    ['two on one bus', `${GOOD}</iommu><iommu model='smmuv3'>${GOOD}`, ['IOMMU_BUS']],
    ['a plain one beside', `${GOOD}</iommu><iommu model='smmuv3'>`, ['IOMMU_MIX']],
    ['another model beside', `${GOOD}</iommu><iommu model='virtio'>`, ['IOMMU_MIX']],
  ])('%s', (_, driver, expected) => {
    expect(codes(oneGpu({ driver }))).toEqual(expected);
  });

  test.each([
    ['a cell that is not there', '0-1', ['NODESET']],
    ['no set', 'x', ['NODESET']],
    ['cells that are there', '0,^0,0', []],
  ])('Generic Initiators: %s', (_, nodeset, expected) => {
    const hostdev = HOSTDEV.replace('<driver', `<acpi nodeset='${nodeset}'/><driver`);
    const numa = "<cpu><numa><cell id='0' memory='1'/></numa></cpu><devices>";
    expect(codes(oneGpu({ driver: GOOD, hostdev }).replace('<devices>', numa))).toEqual(expected);
  });

  test.each([
    ["accel='off' ats='off'", ["iommu0: libvirt refuses ats without accel='on' beside it"]],
    ["ssidsize='0' oas='44'", ["iommu0: libvirt refuses ssidsize, oas without accel='on' beside them"]],
    ["accel='off' ssidsize='-1'", []],
    ["accel='off'", []],
  ])('%s, which libvirt takes only beside acceleration', (attributes, expected) => {
    const text = oneGpu({ driver: `<driver pciBus='1' ${attributes}/>` });
    expect(check(text).map(({ message }) => message)).toEqual(expected);
  });

  test('a guest address in a PCI domain that guests do not have', () => {
    const hostdev = HOSTDEV.replace(
      "type='pci' domain='0x0000' bus='0x02'",
      "type='pci' domain='0x0001' bus='0x02'",
    );
    expect(check(oneGpu({ driver: GOOD, hostdev }))).toMatchObject([
      { code: 'DOMAIN_VALUE', message: 'ua-gpu0: its guest address is none that libvirt would take' },
    ]);
  });

  test('an override for an alias that nobody has', () => {
    const qemu = 'http://libvirt.org/schemas/domain/qemu/1.0';
    const of = (alias: string) =>
      `<q:override xmlns:q='${qemu}'><q:device alias='${alias}'><q:frontend/></q:device></q:override>`;
    expect(codes(oneGpu({ driver: GOOD, after: of('hostdev0') }))).toEqual(['IGNORED']);
    expect(codes(oneGpu({ driver: GOOD, after: of('ua-gpu0') + of('iommu0') + of('net0') }))).toEqual([]);
  });

  test("two on one bus, in QEMU's words", () => {
    const driver = `${GOOD}</iommu><iommu model='smmuv3'>${GOOD}`;
    expect(check(oneGpu({ driver }))[0]?.qemu).toBe('An iommu is already attached to this bus');
  });

  test.each([
    ['octal that is none', "bus='08'"],
    ['a bus above 255', "bus='256'"],
    ['a slot above 31', "bus='2' slot='0x20'"],
    ['a function above 7', "bus='2' function='8'"],
    ['a negative slot', "bus='2' slot='-1'"],
  ])('a guest address with %s', (_, address) => {
    const hostdev = HOSTDEV.replace(/<address type='pci'[^>]*>/, `<address type='pci' ${address}/>`);
    expect(codes(oneGpu({ driver: GOOD, hostdev }))).toContain('DOMAIN_VALUE');
  });

  test('a domain without KVM', () => {
    expect(codes(oneGpu({ driver: GOOD }).replace("type='kvm'", "type='qemu'"))).toEqual(['KVM_REQUIRED']);
  });

  test('a device that the host does not have, and devices of two SMMUs', () => {
    expect(codes(oneGpu({ driver: GOOD, hostdev: HOSTDEV.replace('0x0009', '0x0008') }))).toEqual([
      'HOSTDEV_UNKNOWN',
    ]);
    const second = HOSTDEV.replace("'0x0009'", "'0x0019'").replace('ua-gpu0', 'ua-gpu1');
    const beside = second.replace("function='0x0'/>\n    </hostdev>", "function='0x1'/>\n    </hostdev>");
    expect(codes(oneGpu({ driver: GOOD, hostdev: HOSTDEV + beside }))).toEqual(['MIXED_SMMUS']);
  });
});
