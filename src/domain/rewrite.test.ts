import { describe, expect, test } from '@jest/globals';

import { HOSTDEV, oneGpu } from '../../test/fixtures/domain/documents.js';
import { graceHost, hostWith, NO_HOST } from '../../test/fixtures/domain/host.js';
import { VsmmuError } from '../errors.js';
import type { HostFeatures } from '../smmu/features.js';
import { DomainRefused } from './refused.js';
import { rewriteDomain, type RewriteOptions } from './rewrite.js';

const QEMU = 'http://libvirt.org/schemas/domain/qemu/1.0';

function rewrite(text: string, options?: RewriteOptions, host: HostFeatures = graceHost()): string {
  return rewriteDomain(text, host, options).text;
}

function driverOf(text: string): string {
  return /<driver pciBus[^>]*>/.exec(text)?.[0] ?? '';
}

/** "CODE" of every finding, or of the one error. */
function refusals(text: string, options?: RewriteOptions, host: HostFeatures = graceHost()): string[] {
  try {
    rewriteDomain(text, host, options);
  } catch (error) {
    if (error instanceof DomainRefused) return error.findings.map(({ code }) => code);
    if (error instanceof VsmmuError) return [error.code];
    throw error;
  }
  return [];
}

/** The lines that differ, "-" of the old and "+" of the new one. Enough for changes that don't reorder. */
function changedLines(before: string, after: string): string[] {
  const [old, now] = [before.split('\n'), after.split('\n')];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `-${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+${line}`),
  ];
}

describe('vSMMU attributes', () => {
  test.each([
    [
      "all are added, in libvirt's order",
      "<driver pciBus='1' accel='on'/>",
      "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>",
    ],
    [
      'what stands is corrected in its place and with its quotes',
      `<driver pciBus='1' oas="44" accel='on' ril = "off"/>`,
      `<driver pciBus='1' oas="48" accel='on' ats='on' ril = "on" ssidsize='20'/>`,
    ],
    [
      "KubeVirt's ssidSize becomes ssidsize",
      `<driver pciBus="1" accel="on" ats="on" ril="off" ssidSize="16" oas="48"></driver>`,
      `<driver pciBus="1" accel="on" ats="on" ril="on" ssidsize="20" oas="48">`,
    ],
    [
      'a stale ssidSize beside ssidsize goes',
      `<driver pciBus='1' accel='on' ssidSize='8' ats='on' ril='on' ssidsize='20' oas='48'/>`,
      `<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>`,
    ],
    [
      'cmdqv is resolved where it stands; a host that was not asked has none',
      `<driver pciBus='1' accel='on' cmdqv='on'/>`,
      `<driver pciBus='1' accel='on' cmdqv='off' ats='on' ril='on' ssidsize='20' oas='48'/>`,
    ],
  ])('%s', (_, driver, expected) => {
    expect(driverOf(rewrite(oneGpu({ driver })))).toBe(expected);
  });

  test.each([
    ['no ATS', { limits: { ats: false } }, "ats='off' ril='on' ssidsize='20' oas='48'"],
    ['no RIL', { limits: { ril: false } }, "ats='on' ril='off' ssidsize='20' oas='48'"],
    ['no substreams', { limits: { ssidsize: 0 } }, "ats='on' ril='on' ssidsize='0' oas='48'"],
    ['OAS 44', { limits: { oas: 44 } }, "ats='on' ril='on' ssidsize='20' oas='44'"],
    ['OAS 52', { limits: { oas: 52 } }, "ats='on' ril='on' ssidsize='20' oas='48'"],
    ['known CMDQV', { limits: { cmdqv: true } }, "cmdqv='on' ats='on' ril='on' ssidsize='20' oas='48'"],
    ['known lack of CMDQV', { limits: { cmdqv: false } }, "ats='on' ril='on' ssidsize='20' oas='48'"],
  ])('host with %s', (_, device, expected) => {
    const text = rewrite(oneGpu(), {}, graceHost(device));
    expect(driverOf(text)).toBe(`<driver pciBus='1' accel='on' ${expected}/>`);
  });

  test.each(['off', undefined])('accel %s: nothing is touched', (accel) => {
    const driver = `<driver pciBus='1'${accel === undefined ? '' : ` accel='${accel}'`}/>`;
    const text = oneGpu({ driver });
    expect(rewrite(text, {}, NO_HOST)).toBe(text);
  });

  test.each([
    ['ssidSize', "ssidSize='20' oas='48'"],
    ['both', "ssidsize='20' ssidSize='20' oas='48'"],
  ] as const)('spelling %s', (spelling, expected) => {
    const driver = `<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='16' oas='44'/>`;
    const text = rewrite(oneGpu({ driver }), { spelling });
    expect(driverOf(text)).toBe(`<driver pciBus='1' accel='on' ats='on' ril='on' ${expected}/>`);
    expect(rewrite(text, { spelling })).toBe(text);
  });
});

describe('existing values kept', () => {
  const keep = { existing: 'keep' } as const;

  test('they stay, and what is missing is resolved', () => {
    const driver = `<driver pciBus='1' accel='on' ril='off' ssidSize='8' oas='44'/>`;
    expect(driverOf(rewrite(oneGpu({ driver }), keep))).toBe(
      `<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='8' oas='44'/>`,
    );
  });

  test('an override counts before the attribute', () => {
    const after = override('iommu0', "<qemu:property name='ril' type='string' value='off'/>");
    const driver = `<driver pciBus='1' accel='on' ril='on'/>`;
    const text = rewrite(oneGpu({ driver, after, root: ` xmlns:qemu='${QEMU}'` }), keep);
    expect(driverOf(text)).toContain("ril='off'");
  });

  test.each([
    ['more than the host has', "ssidsize='20'", { limits: { ssidsize: 16 } }, ['HOST_SSIDSIZE']],
    ['ril on', "ril='on'", { limits: { ril: false } }, ['HOST_RIL']],
    ['several at once', "ats='on' oas='48'", { limits: { ats: false, oas: 44 } }, ['HOST_OAS', 'HOST_ATS']],
    ['no value', "ats='yes'", {}, ['DOMAIN_VALUE']],
    ['no number', "ssidsize='0x14'", {}, ['DOMAIN_VALUE']],
    ['no OAS of a vSMMU', "oas='40'", {}, ['VALUE_NOT_IMPLEMENTED']],
    ['too many substreams', "ssidsize='21'", {}, ['VALUE_NOT_IMPLEMENTED', 'HOST_SSIDSIZE']],
  ])('refused: %s', (_, attributes, device, codes) => {
    const driver = `<driver pciBus='1' accel='on' ${attributes}/>`;
    expect(refusals(oneGpu({ driver }), keep, graceHost(device))).toEqual(codes);
    expect(refusals(oneGpu({ driver }), {}, graceHost(device))).toEqual([]);
  });

  test("a device's own wish stays, and is checked", () => {
    const after = override('ua-gpu0', "<qemu:property name='ats' type='string' value='on'/>");
    const text = oneGpu({ after, root: ` xmlns:qemu='${QEMU}'` });
    expect(rewrite(text, keep, graceHost({ kernelAts: 'silent' }))).toContain(
      "name='ats' type='string' value='on'",
    );
    expect(refusals(text, keep, graceHost({ kernelAts: 'not-supported' }))).toEqual(['DEVICE_ATS']);
  });
});

function override(alias: string, properties: string, prefix = 'qemu'): string {
  return `  <${prefix}:override>
    <${prefix}:device alias='${alias}'>
      <${prefix}:frontend>
        ${properties.replaceAll('qemu:', `${prefix}:`)}
      </${prefix}:frontend>
    </${prefix}:device>
  </${prefix}:override>
`;
}

describe('the ats of a device', () => {
  const settledDriver = "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>";

  test('on, in a block of its own with the namespace bound', () => {
    const before = oneGpu({ driver: settledDriver });
    expect(changedLines(before, rewrite(before))).toEqual([
      "-<domain type='kvm'>",
      `+<domain type='kvm' xmlns:qemu='${QEMU}'>`,
      '+  <qemu:override>',
      "+    <qemu:device alias='ua-gpu0'>",
      '+      <qemu:frontend>',
      "+        <qemu:property name='ats' type='string' value='on'/>",
      '+      </qemu:frontend>',
      '+    </qemu:device>',
      '+  </qemu:override>',
    ]);
  });

  test.each([
    ['off where the kernel reports none', { kernelAts: 'not-supported' }, "value='off'"],
    ['off where the vSMMU has none', { limits: { ats: false }, kernelAts: 'silent' }, "value='off'"],
    ['nothing where the kernel cannot say', { kernelAts: 'silent' }, undefined],
  ] as const)('%s', (_, device, expected) => {
    const text = rewrite(oneGpu(), {}, graceHost(device));
    if (expected === undefined) expect(text).not.toContain('override');
    else expect(text).toContain(`<qemu:property name='ats' type='string' ${expected}/>`);
  });

  test.each([
    ['on where it counts as yes', 'yes', { kernelAts: 'silent' }, "value='on'"],
    ['off where it counts as no', 'no', { kernelAts: 'silent' }, "value='off'"],
    ['off where the vSMMU has none', 'yes', { limits: { ats: false }, kernelAts: 'silent' }, "value='off'"],
    ['off where the kernel reports none', 'yes', { kernelAts: 'not-supported' }, "value='off'"],
    ['on where the kernel reports support', 'no', { kernelAts: 'supported' }, "value='on'"],
    ['nothing where config space has none', 'yes', { kernelAts: 'silent', atsCapability: false }, undefined],
  ] as const)('unknown ATS is %s', (_, unknownAts, device, expected) => {
    const text = rewrite(oneGpu(), { unknownAts }, graceHost(device));
    if (expected === undefined) expect(text).not.toContain('override');
    else expect(text).toContain(`<qemu:property name='ats' type='string' ${expected}/>`);
  });

  test('nothing for a QEMU without the property', () => {
    expect(rewrite(oneGpu(), { vfioAts: false })).not.toContain('override');
  });

  test.each([
    ['another prefix', ` xmlns:q='${QEMU}'`, '<q:override>'],
    ['qemu bound to something else', " xmlns:qemu='urn:dummy'", '<qemu1:override>'],
    ['the namespace as a default one of another element', '', '<qemu:override>'],
  ])('prefix: %s', (_, root, expected) => {
    const text = rewrite(oneGpu({ root }));
    expect(text).toContain(expected);
    expect(rewrite(text)).toBe(text);
  });

  test("an existing entry of the alias takes it, under the entry's own prefix", () => {
    const after = override('ua-gpu0', "<qemu:property name='rombar' type='unsigned' value='0'/>", 'x');
    const before = oneGpu({ driver: settledDriver, after, root: ` xmlns:x='${QEMU}'` });
    expect(changedLines(before, rewrite(before))).toEqual([
      "+        <x:property name='ats' type='string' value='on'/>",
    ]);
  });

  test('an existing block takes a new entry', () => {
    const after = override('ua-other', "<qemu:property name='x' type='string' value='y'/>");
    const before = oneGpu({ driver: settledDriver, after, root: ` xmlns:qemu='${QEMU}'` });
    const text = rewrite(before);
    expect(text.match(/<qemu:override>/g)).toHaveLength(1);
    expect(text.match(/<qemu:device /g)).toHaveLength(2);
  });

  test.each([
    ['a wrong value', "<qemu:property name='ats' type='string' value='off'/>"],
    ['a wrong type', "<qemu:property name='ats' type='bool' value='true'/>"],
    ['a removal', "<qemu:property name='ats' type='remove'/>"],
  ])('%s is corrected, not doubled', (_, property) => {
    const after = override('ua-gpu0', property);
    const text = rewrite(oneGpu({ driver: settledDriver, after, root: ` xmlns:qemu='${QEMU}'` }));
    expect(text.match(/name='ats'/g)).toHaveLength(1);
    expect(text).toContain("<qemu:property name='ats' type='string' value='on'/>");
  });

  test.each([
    ['prefix', `<q:property xmlns:q='${QEMU}' name='ats' `, '/>'],
    ['default namespace', `<property xmlns='${QEMU}' name='ats' `, '/>'],
    ['content', "<qemu:property name='ats' ", '><!-- mine --></qemu:property>'],
  ])('one with a %s of its own keeps it', (_, begin, end) => {
    const after = (rest: string) => override('ua-gpu0', `${begin}${rest}${end}`);
    const root = ` xmlns:qemu='${QEMU}'`;
    const text = rewrite(oneGpu({ driver: settledDriver, after: after("type='bool' value='true'"), root }));
    expect(text).toBe(oneGpu({ driver: settledDriver, after: after("type='string' value='on'"), root }));
  });

  test('a stale one goes with the entry and the block that it leaves empty', () => {
    const after = override('ua-gpu0', "<qemu:property name='ats' type='string' value='on'/>");
    const root = ` xmlns:qemu='${QEMU}'`;
    const text = rewrite(
      oneGpu({ driver: settledDriver, after, root }),
      {},
      graceHost({ kernelAts: 'silent' }),
    );
    expect(text).toBe(oneGpu({ driver: settledDriver, root }));
  });

  test("a stale one goes alone where somebody's comment stands beside it", () => {
    const comment = '<!-- mine -->';
    const after = override('ua-gpu0', `${comment}<qemu:property name='ats' type='string' value='on'/>`);
    const text = rewrite(
      oneGpu({ driver: settledDriver, after, root: ` xmlns:qemu='${QEMU}'` }),
      {},
      graceHost({ kernelAts: 'silent' }),
    );
    expect(text).toContain(comment);
    expect(text).not.toContain("name='ats'");
  });

  test("an override of the vSMMU itself is corrected, since it counts before libvirt's attribute", () => {
    const after = override('iommu0', "<qemu:property name='oas' type='string' value='44'/>");
    const text = rewrite(oneGpu({ after, root: ` xmlns:qemu='${QEMU}'` }));
    expect(text).toContain("<qemu:property name='oas' type='string' value='48'/>");
    expect(driverOf(text)).toContain("oas='48'");
  });
});

describe('targets', () => {
  const properties = (text: string) =>
    [...text.matchAll(/alias='iommu0'>[\s\S]*?<\/qemu:device>/g)].flatMap(([entry]) =>
      [...entry.matchAll(/name='(\w+)' type='(\w+)' value='(\w+)'/g)].map(([, ...parts]) => parts.join(' ')),
    );
  const all = ['accel bool true', 'ats string on', 'ril string on', 'ssidsize string 20', 'oas string 48'];

  test('override: properties go there, attributes are corrected but none is added', () => {
    const text = rewrite(oneGpu({ driver: "<driver pciBus='1' accel='on' ril='off'/>" }), {
      target: 'override',
    });
    expect(driverOf(text)).toBe("<driver pciBus='1' accel='on' ril='on'/>");
    expect(properties(text)).toEqual(all);
  });

  test('both', () => {
    const text = rewrite(oneGpu(), { target: 'both' });
    expect(driverOf(text)).toBe("<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>");
    expect(properties(text)).toEqual(all);
  });

  test('what a pipeline left of it, the override alone, is understood', () => {
    const text = rewrite(oneGpu(), { target: 'both' });
    const stripped = text.replace(driverOf(text), "<driver pciBus='1'/>");
    expect(driverOf(rewrite(stripped))).toBe(
      "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>",
    );
    expect(rewrite(stripped, { target: 'override' })).toBe(stripped);
  });

  // libvirt: "accel must be enabled for iommu model 'smmuv3' when setting ats, ril, ssidsize, oas, or cmdqv"
  test.each(['native', 'override', 'both'] as const)(
    '%s: an attribute that is off gives way to the override that counts',
    (target) => {
      const after = `<qemu:override xmlns:qemu='${QEMU}'><qemu:device alias='iommu0'><qemu:frontend><qemu:property name='accel' type='bool' value='true'/></qemu:frontend></qemu:device></qemu:override>`;
      const text = rewrite(oneGpu({ driver: "<driver pciBus='1' accel='off'/>", after }), { target });
      expect(driverOf(text)).toBe(
        `<driver pciBus='1' accel='on'${target === 'override' ? '' : " ats='on' ril='on' ssidsize='20' oas='48'"}/>`,
      );
    },
  );
});

describe('aliases', () => {
  const settled = "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>";
  const withAlias = (alias: string) => HOSTDEV.replace("<alias name='ua-gpu0'/>", alias);

  test.each([
    ['none', '', 'hostdev0'],
    ["one that is not the user's to give", "<alias name='hostdev7'/>", 'hostdev0'],
    ['one with characters that libvirt refuses', "<alias name='ua-a b'/>", 'hostdev0'],
    ["the user's own", "<alias name='ua-my_gpu-0'/>", 'ua-my_gpu-0'],
  ])('%s', (_, alias, expected) => {
    expect(rewrite(oneGpu({ driver: settled, hostdev: withAlias(alias) }))).toContain(
      `<qemu:device alias='${expected}'>`,
    );
  });

  test('hostdevs of other kinds take numbers, those with an alias of their own none', () => {
    const others = `<hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    <hostdev mode='subsystem' type='usb'><source><address bus='1' device='3'/></source><alias name='ua-u'/></hostdev>
    `;
    expect(rewrite(oneGpu({ hostdev: others + withAlias('') }))).toContain("alias='hostdev1'");
  });
});

describe('everything else stays byte for byte', () => {
  const settledDriver = "<driver pciBus='1' accel='on' ats='on' ril='on' ssidsize='20' oas='48'/>";
  const noise = `<!-- <hostdev type='pci'><driver name='vfio'/></hostdev> -->
    <?keep <iommu model='smmuv3'/> ?>
    <x:y xmlns:x='urn:x' x:a = "1"   b='&#10;&lt;ü😀'><![CDATA[<iommu model="smmuv3"><driver accel="on"/>]]></x:y >
    <iommu xmlns='urn:other' model='smmuv3'><driver pciBus='9' accel='on'/></iommu>
    ${HOSTDEV}`;
  const silent = graceHost({ kernelAts: 'silent' });

  test.each([
    ['foreign markup', oneGpu({ hostdev: noise })],
    ['byte order mark', `\uFEFF${oneGpu({ hostdev: noise })}`],
    ['CRLF', oneGpu({ hostdev: noise }).replaceAll('\n', '\r\n')],
    ['tabs', oneGpu({ hostdev: noise }).replaceAll('  ', '\t')],
    ['one line', oneGpu({ hostdev: noise }).replaceAll(/\n */g, '')],
    ['declaration and trailing comment', `<?xml version='1.0' encoding='UTF-8'?>\n${oneGpu()}<!-- end -->\n`],
  ])('%s', (_, text) => {
    const driver = "<driver pciBus='1' accel='on'/>";
    expect(rewrite(text, {}, silent)).toBe(text.replace(driver, settledDriver));
    const withOverride = rewrite(text);
    expect(rewrite(withOverride)).toBe(withOverride);
  });

  test('inserted lines end as the others do', () => {
    const text = rewrite(oneGpu().replaceAll('\n', '\r\n'));
    expect(text).toContain('qemu:override');
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
  });

  test('a document on one line gets no line', () => {
    expect(rewrite(oneGpu().replaceAll(/\n */g, ''))).not.toContain('\n');
  });

  test('an empty override element is filled', () => {
    const text = oneGpu({ after: '  <qemu:override/>\n', root: ` xmlns:qemu='${QEMU}'` });
    const filled = rewrite(text);
    expect(filled).toContain("<qemu:property name='ats' type='string' value='on'/>");
    expect(filled).toMatch(/\n {2}<\/qemu:override>\n/);
  });
});

describe('topology', () => {
  const behind = (address: string) => HOSTDEV.replace("bus='0x02' slot='0x00'", address);

  test.each([
    ['a decimal bus', "bus='2' slot='0x00'"],
    ['an octal bus', "bus='02' slot='0x00'"],
    ['a function of a multifunction slot', "bus='0x02' slot='0x00' multifunction='on'"],
  ])('%s', (_, address) => {
    expect(driverOf(rewrite(oneGpu({ hostdev: behind(address) })))).toContain("ats='on'");
  });

  test('through a switch', () => {
    const switched = `<controller type='pci' index='0x7' model='x'/><controller type='pci' index='3' model='pcie-switch-upstream-port'>
      <address type='pci' bus='0x02'/></controller><controller type='pci' index='4' model='pcie-switch-downstream-port'>
      <address type='pci' bus='3' slot='1'/></controller>${behind("bus='0x04' slot='0x00'")}`;
    expect(driverOf(rewrite(oneGpu({ hostdev: switched })))).toContain("ats='on'");
  });

  test('a virtual function as an interface', () => {
    const hostdev = `<interface type='hostdev'>
      <source><address type='pci' domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </interface>`;
    expect(rewrite(oneGpu({ hostdev }))).toContain("<qemu:device alias='hostdev0'>");
  });

  test('devices of two host SMMUs behind one vSMMU are refused', () => {
    const second = HOSTDEV.replace("'0x0009'", "'0x0019'")
      .replace('ua-gpu0', 'ua-gpu1')
      .replace(
        "slot='0x00' function='0x0'/>\n    </hostdev>",
        "slot='0x01' function='0x0'/>\n    </hostdev>",
      );
    expect(refusals(oneGpu({ hostdev: HOSTDEV + second }))).toEqual(['MIXED_SMMUS']);
  });

  test.each([
    ['a device that the host does not have', HOSTDEV.replace('0x0009', '0x0042'), ['HOSTDEV_UNKNOWN']],
    ['no device', '', ['AUTO_NEEDS_COLD_PLUG']],
    ['a device on another bus', behind("bus='0x00' slot='0x04'"), ['AUTO_NEEDS_COLD_PLUG']],
    [
      'a device without guest address',
      HOSTDEV.replace(/<address type='pci'[^>]*>/, ''),
      ['HOSTDEV_UNPLACED'],
    ],
    [
      'an unassigned device',
      HOSTDEV.replace(/<address type='pci'[^>]*>/, "<address type='unassigned'/>"),
      ['AUTO_NEEDS_COLD_PLUG'],
    ],
    ['no source address', HOSTDEV.replace(/<address domain[^>]*>/, ''), ['DOMAIN_VALUE']],
    ['a source address out of range', HOSTDEV.replace("bus='0x01'", "bus='0x100'"), ['DOMAIN_VALUE']],
    [
      'controllers in a circle',
      `<controller type='pci' index='3' model='pcie-root-port'><address type='pci' bus='3'/></controller>${behind("bus='0x03' slot='0x00'")}`,
      ['PCI_CIRCLE'],
    ],
  ])('refused: %s', (_, hostdev, codes) => {
    expect(refusals(oneGpu({ hostdev }))).toEqual(codes);
  });

  test.each([
    ['no bus', "<driver accel='on'/>"],
    ['a root port', "<driver pciBus='2' accel='on'/>"],
    ['no controller', "<driver pciBus='9' accel='on'/>"],
    ['no number', "<driver pciBus='0x1' accel='on'/>"],
    ['minus one, which libvirt takes as absent', "<driver pciBus='-1' accel='on'/>"],
  ])('pciBus: %s', (_, driver) => {
    expect(refusals(oneGpu({ driver }))).toEqual(['IOMMU_BUS']);
  });

  test('two vSMMUs on one bus', () => {
    const second =
      "<driver pciBus='1' accel='on'/></iommu><iommu model='smmuv3'><driver pciBus='1' accel='on'/>";
    expect(refusals(oneGpu({ driver: second }))).toContain('IOMMU_BUS');
  });
});

test('an obstacle of the host is told with the device and its remedy', () => {
  const host = hostWith({ '0009:01:00.0': {} });
  const device = [...host.devices.values()][0]!;
  const obstacle = { code: 'HOST_GRANULE', message: 'no 16K granule', remedy: 'Use another host.' } as const;
  const blocked: HostFeatures = {
    ...host,
    devices: new Map([[device.bdf, { ...device, smmu: { ...device.smmu, obstacles: [obstacle] } }]]),
  };
  expect(() => rewriteDomain(oneGpu(), blocked, { source: 'vm.xml' })).toThrow(
    expect.objectContaining({
      code: 'HOST_GRANULE',
      place: 'vm.xml:20:5',
      remedy: 'Use another host.',
      message: expect.stringContaining('0009:01:00.0') as unknown,
    }),
  );
});

test.each([
  ['another root', '<network/>', 'NOT_A_DOMAIN'],
  ['a domain of another namespace', "<domain xmlns='urn:x'/>", 'NOT_A_DOMAIN'],
  ['a list of domains', '<domains><domain/></domains>', 'NOT_A_DOMAIN'],
  ['no XML', 'x', 'XML_MALFORMED'],
])('refused: %s', (_, text, code) => {
  expect(refusals(text)).toEqual([code]);
});

test('every property is explained', () => {
  const { decisions, changes } = rewriteDomain(
    oneGpu({ driver: "<driver pciBus='1' accel='on' ril='off'/>" }),
    graceHost(),
  );
  expect(
    decisions.map(({ subject, property, was, asked, resolved }) => [subject, property, was, asked, resolved]),
  ).toEqual([
    ['iommu0', 'ats', undefined, 'auto', 'on'],
    ['iommu0', 'ril', 'off', 'auto', 'on'],
    ['iommu0', 'ssidsize', undefined, 'auto', '20'],
    ['iommu0', 'oas', undefined, 'auto', '48'],
    ['0009:01:00.0', 'ats', undefined, 'auto', 'on'],
  ]);
  expect(decisions[1]).toMatchObject({
    written: "<driver ril='on'>",
    evidence: 'IDR3.RIL=1, smmu3.0x0000000011000000 of 0009:01:00.0, the test host',
  });
  expect(changes.map(({ line, what }) => `${line}: ${what}`)).toContain(
    "21: <driver> ril='off' becomes 'on'",
  );
});
