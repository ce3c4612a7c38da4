import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { graceHost, hostWith } from '../../test/fixtures/domain/host.js';
import { DomainRefused } from '../domain/refused.js';
import { VsmmuError } from '../errors.js';
import type { HostFeatures } from '../smmu/features.js';
import { rewriteCommand } from './rewrite-command.js';
import { quoteShellWord, splitShellWords } from './shell-words.js';

const PXB = '-device pxb-pcie,id=pcie.1,bus_nr=1,bus=pcie.0';
const PORT = '-device pcie-root-port,id=port1,bus=pcie.1,chassis=1';
const GPU =
  '-device vfio-pci-nohotplug,host=0009:01:00.0,bus=port1,rombar=0,id=dev0,iommufd=iommufd0,ats=auto';
const SMMU =
  '-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.1,accel=on,ats=auto,ssidsize=auto,ril=auto,oas=auto';

function command(...parts: readonly string[]): string {
  return ['qemu-system-aarch64', '-machine virt', ...parts, '-bios /usr/share/AAVMF/AAVMF_CODE.fd'].join(
    ' \\\n  ',
  );
}

function refusals(text: string, host: HostFeatures = graceHost()): string[] {
  try {
    rewriteCommand(text, host);
    return [];
  } catch (error) {
    if (error instanceof DomainRefused) return error.findings.map(({ code }) => code);
    if (error instanceof VsmmuError) return [error.code];
    throw error;
  }
}

test('every auto is resolved, and all else stays', () => {
  const text = command(PXB, SMMU, PORT, GPU);
  const written = rewriteCommand(text, graceHost({ limits: { ril: false, ssidsize: 16 } }));
  expect(written).toBe(
    text
      .replace('ats=auto,ssidsize=auto,ril=auto,oas=auto', 'ats=on,ssidsize=16,ril=off,oas=48')
      .replace('iommufd=iommufd0,ats=auto', 'iommufd=iommufd0,ats=on'),
  );
  expect(rewriteCommand(written, graceHost())).toBe(written);
});

test('what is left out is auto in QEMU 11.1, and written too; CMDQV only where it stands', () => {
  const smmu = '-device arm-smmuv3,primary-bus=pcie.1,accel=on';
  expect(rewriteCommand(command(PXB, smmu, PORT, GPU), graceHost())).toContain(
    `${smmu},ats=on,ril=on,ssidsize=20,oas=48 `,
  );
  expect(rewriteCommand(command(PXB, `${smmu},cmdqv=auto`, PORT, GPU), graceHost())).toContain('cmdqv=off');
});

test('explicit values stay and are checked', () => {
  const smmu = SMMU.replace('ril=auto', 'ril=on').replace('ssidsize=auto', 'ssidsize=20');
  expect(refusals(command(PXB, smmu, PORT, GPU), graceHost({ limits: { ril: false, ssidsize: 8 } }))).toEqual(
    ['HOST_SSIDSIZE', 'HOST_RIL'],
  );
});

test.each([
  ['off where the kernel reports none', { kernelAts: 'not-supported' }, 'ats=off'],
  ['auto stays where the kernel cannot say', { kernelAts: 'silent' }, 'ats=auto'],
] as const)('the ats of a device: %s', (_, device, expected) => {
  expect(rewriteCommand(command(PXB, SMMU, PORT, GPU), graceHost(device))).toContain(
    `iommufd=iommufd0,${expected}`,
  );
});

test("accel=off: auto is QEMU's fixed default", () => {
  const smmu = '-device arm-smmuv3,primary-bus=pcie.1,ats=auto,ril=auto,ssidsize=auto,oas=auto';
  expect(rewriteCommand(command(PXB, smmu), graceHost())).toContain('ats=off,ril=on,ssidsize=0,oas=44');
});

describe('notations', () => {
  const json = (device: object) => `-device '${JSON.stringify(device)}'`;

  test("libvirt's JSON options", () => {
    const smmu = { driver: 'arm-smmuv3', 'primary-bus': 'pcie.1', id: 'iommu0', accel: true, ats: 'auto' };
    const text = command(PXB, json(smmu), PORT, GPU);
    expect(rewriteCommand(text, graceHost())).toContain(
      `-device '{"driver":"arm-smmuv3","primary-bus":"pcie.1","id":"iommu0","accel":true,"ats":"on","ril":"on","ssidsize":"20","oas":"48"}'`,
    );
  });

  const devices = [
    { driver: 'pxb-pcie', id: 'pcie.1' },
    { driver: 'arm-smmuv3', 'primary-bus': 'pcie.1', accel: true, oas: 'auto' },
    { driver: 'vfio-pci', host: '0009:01:00.0', bus: 'pcie.1', iommufd: 'iommufd0' },
  ];
  const resolved = [
    devices[0],
    { ...devices[1], oas: '48', ats: 'on', ril: 'on', ssidsize: '20' },
    { ...devices[2], ats: 'on' },
  ];

  test('a JSON array', () => {
    expect(JSON.parse(rewriteCommand(JSON.stringify(devices), graceHost()))).toEqual(resolved);
  });

  test('JSON lines', () => {
    const lines = devices.map((device) => JSON.stringify(device)).join('\n');
    const written = rewriteCommand(lines, graceHost()).trimEnd().split('\n');
    expect(written.map((line): unknown => JSON.parse(line))).toEqual(resolved);
  });

  test.each([
    ['double quotes', `"arm-smmuv3,primary-bus=pcie.1,accel=on,oas=auto"`, '"arm-smmuv3,'],
    ['single quotes', `'arm-smmuv3,primary-bus=pcie.1,accel=on,oas=auto'`, "'arm-smmuv3,"],
    ['both', `arm-smmuv3,"primary-bus=pcie.1",accel=on,oas=auto`, "'arm-smmuv3,"],
  ])('%s', (_, word, start) => {
    const text = command(PXB, `-device ${word}`, PORT, GPU);
    const written = rewriteCommand(text, graceHost());
    expect(written).toContain(`-device ${start}`);
    expect(written).toContain('oas=48');
    expect(rewriteCommand(written, graceHost())).toBe(written);
  });

  test('a comma in a value', () => {
    const text = command(PXB, SMMU, PORT, GPU.replace('rombar=0', 'sysfsdev=/x,,y'));
    expect(rewriteCommand(text, graceHost())).toContain('sysfsdev=/x,,y');
  });

  test('a script with comments and an apostrophe in one', () => {
    const text = `#!/bin/sh\n# don't\n${command(PXB, SMMU, PORT, GPU)}\n`;
    expect(rewriteCommand(text, graceHost())).toContain("# don't\n");
  });
});

describe('refused', () => {
  test.each([
    ['a device of another host', command(PXB, SMMU, PORT, GPU.replace('0009', '0007')), ['HOSTDEV_UNKNOWN']],
    [
      'a device without an address',
      command(PXB, SMMU, PORT, GPU.replace('host=0009:01:00.0,', '')),
      ['HOSTDEV_UNKNOWN'],
    ],
    ['no iommufd', command(PXB, SMMU, PORT, GPU.replace(',iommufd=iommufd0', '')), ['IOMMUFD_REQUIRED']],
    ['nothing to resolve auto from', command(PXB, SMMU, PORT), ['AUTO_NEEDS_COLD_PLUG']],
    ['an emulated device', command(PXB, SMMU, PORT, GPU, '-device e1000e,bus=port1'), ['EMULATED_DEVICE']],
    ['a root port as bus', command(PXB, PORT, SMMU.replace('=pcie.1', '=port1'), GPU), ['IOMMU_BUS']],
    ['two on one bus', command(PXB, SMMU, SMMU, PORT, GPU), ['IOMMU_BUS']],
    ['a value of nothing', command(PXB, SMMU.replace('ril=auto', 'ril=maybe'), PORT, GPU), ['DOMAIN_VALUE']],
    ['an open quote', `${command(PXB)} 'x`, ['COMMAND_MALFORMED']],
    ['an empty device', `${command(PXB)} -device ''`, ['COMMAND_MALFORMED']],
    ['nothing', ' \n', ['COMMAND_MALFORMED']],
    ['broken JSON', '[{', ['COMMAND_MALFORMED']],
    ['JSON without driver', '[{}]', ['COMMAND_MALFORMED']],
  ])('%s', (_, text, codes) => {
    expect(refusals(text)).toEqual(codes);
  });

  test('devices of two host SMMUs behind one vSMMU', () => {
    const second = GPU.replace('0009', '0019').replace('port1', 'port2').replace('dev0', 'dev1');
    const port = PORT.replace('port1', 'port2');
    expect(refusals(command(PXB, SMMU, PORT, port, GPU, second))).toEqual(['MIXED_SMMUS']);
  });
});

test('bridges and switches lead to the bus above', () => {
  const sw = '-device x3130-upstream,id=up,bus=port1 -device xio3130-downstream,id=down,bus=up,chassis=2';
  expect(rewriteCommand(command(PXB, SMMU, PORT, sw, GPU.replace('=port1', '=down')), graceHost())).toContain(
    'oas=48',
  );
});

test('a command without a vSMMU stays as it is', () => {
  const text = command(PXB, PORT, GPU);
  expect(rewriteCommand(text, hostWith({}))).toBe(text);
});

test('a no-break space is part of a word', () => {
  expect(splitShellWords('a\u00A0b\tc')).toMatchObject({
    ok: true,
    words: [{ value: 'a\u00A0b' }, { value: 'c' }],
  });
});

test('a quoted word is read back as what was quoted', () => {
  const quotings = fc.constantFrom('none', 'single', 'double', 'mixed');
  fc.assert(
    fc.property(fc.string(), quotings, (value, quoting) => {
      const word = quoteShellWord(value, quoting);
      const read = splitShellWords(`a ${word} b`);
      expect(read.ok && read.words.map((one) => one.value)).toEqual(['a', value, 'b']);
    }),
  );
});
