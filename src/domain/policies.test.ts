import { describe, expect, test } from '@jest/globals';

import { oneGpu } from '../../test/fixtures/domain/documents.js';
import { bdf, graceHost, hostWith, type DeviceSpec } from '../../test/fixtures/domain/host.js';
import { ExitStatus, VsmmuError } from '../errors.js';
import type { HostFeatures } from '../smmu/features.js';
import { parseFleetValues } from './fleet-values.js';
import { chooseTarget, libvirtOfVirsh, parseVersion, qemuOfHelp, qemuOfVersion } from './launcher.js';
import { DomainRefused } from './refused.js';
import { rewriteDomain, type RewriteOptions } from './rewrite.js';
import { parseWishes } from './wishes.js';

function driverOf(options: RewriteOptions, host: HostFeatures = graceHost(), driver?: string): string {
  const text = oneGpu(driver === undefined ? {} : { driver });
  return /<driver pciBus[^>]*>/.exec(rewriteDomain(text, host, options).text)?.[0] ?? '';
}

function codes(action: () => unknown): string[] {
  try {
    action();
  } catch (error) {
    if (error instanceof DomainRefused) return error.findings.map(({ code }) => code);
    if (error instanceof VsmmuError) return [error.code];
    throw error;
  }
  return [];
}

describe('--set', () => {
  test('counts before what stands and before the host, and is explained', () => {
    const set = parseWishes(['ril=off', 'ssidsize=16,oas=44']);
    expect(driverOf({ set, existing: 'keep' }, graceHost(), "<driver pciBus='1' accel='on' ril='on'/>")).toBe(
      "<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='16' oas='44'/>",
    );
    const { decisions } = rewriteDomain(oneGpu(), graceHost(), { set });
    expect(decisions.find(({ property }) => property === 'ril')).toMatchObject({
      asked: 'off',
      resolved: 'off',
      rule: 'set by hand: kept, and checked against each host SMMU behind it',
    });
  });

  test('auto asks for the resolution of a value that stands', () => {
    const set = parseWishes(['ril=auto']);
    expect(
      driverOf({ set, existing: 'keep' }, graceHost(), "<driver pciBus='1' accel='on' ril='off'/>"),
    ).toContain("ril='on'");
  });

  test('is checked, never changed', () => {
    const set = parseWishes(['ssidsize=20', 'ril=on']);
    const weak = graceHost({ limits: { ssidsize: 16, ril: false } });
    expect(codes(() => driverOf({ set }, weak))).toEqual(['HOST_SSIDSIZE', 'HOST_RIL']);
  });

  test.each([
    ['all devices', 'device.ats=off', 'off'],
    ['one device', '0009:01:00.0.ats=off', 'off'],
    ['one device before all', 'device.ats=on,0009:01:00.0.ats=off', 'off'],
    ['another device', '0019:01:00.0.ats=off', 'on'],
  ])('the ats of %s', (_, wish, expected) => {
    const { text } = rewriteDomain(oneGpu(), graceHost(), { set: parseWishes([wish]) });
    expect(text).toContain(`<qemu:property name='ats' type='string' value='${expected}'/>`);
  });

  test("a device's on is refused where the kernel says no, and where QEMU has no such property", () => {
    const set = parseWishes(['device.ats=on']);
    const denied = graceHost({ kernelAts: 'not-supported' });
    expect(codes(() => rewriteDomain(oneGpu(), denied, { set }))).toEqual(['DEVICE_ATS']);
    expect(codes(() => rewriteDomain(oneGpu(), graceHost(), { set, vfioAts: false }))).toEqual([
      'TARGET_LACKS',
    ]);
  });

  test('cmdqv is written when asked for', () => {
    expect(driverOf({ set: parseWishes(['cmdqv=off']) })).toContain("cmdqv='off'");
    const without = graceHost({ limits: { cmdqv: false } });
    expect(codes(() => driverOf({ set: parseWishes(['cmdqv=on']) }, without))).toEqual(['HOST_CMDQV']);
  });

  test.each([
    'ril',
    'ril=',
    'ril=maybe',
    'ssidsize=0x10',
    'oas=-1',
    'accel=on',
    'x.ats=on',
    'device.ats=2',
    'ril=on=off',
  ])('malformed: %s', (wish) => {
    expect(() => parseWishes([wish])).toThrow(
      expect.objectContaining({ code: 'WISH_MALFORMED', exitStatus: ExitStatus.usage }),
    );
  });

  test('what is read', () => {
    const wishes = parseWishes([' ril=off , ', '0009:01:00.0.ats=AUTO'.toLowerCase()]);
    expect(wishes).toEqual({
      vsmmu: { ril: 'off' },
      deviceAts: undefined,
      atsOf: new Map([[bdf('0009:01:00.0'), 'auto']]),
    });
  });

  test('a wish for a device that the domain does not have is told, and the others hold', () => {
    const set = parseWishes(['0009:01:00.0.ats=off,0019:01:00.0.ats=off']);
    const { warnings, text } = rewriteDomain(oneGpu(), graceHost(), { set });
    expect(warnings.map(({ code, message }) => [code, message])).toEqual([
      ['WISH_UNUSED', 'ats of 0019:01:00.0 is set, and the domain has no such device'],
    ]);
    expect(rewriteDomain(text, graceHost(), { set }).text).toBe(text);
  });
});

describe('--baseline', () => {
  const limited = <T>(value: T) => ({ value, limitedBy: ['node2'] });
  const document = (vsmmu: unknown, devices: unknown = {}) =>
    JSON.stringify({ vsmmu, devices, members: ['node1'], excluded: [] });
  const fleet = {
    ats: limited('off'),
    ril: limited('off'),
    ssidsize: limited(8),
    oas: limited(44),
    cmdqv: limited('off'),
  };
  const baseline = parseFleetValues(document(fleet), 'fleet.json');

  test("the fleet's values take the place of the host's", () => {
    expect(driverOf({ baseline })).toBe(
      "<driver pciBus='1' accel='on' ats='off' ril='off' ssidsize='8' oas='44'/>",
    );
  });

  test('a wish counts before it, and what is kept', () => {
    const driver = "<driver pciBus='1' accel='on' oas='48'/>";
    const options = { baseline, set: parseWishes(['ril=on']), existing: 'keep' } as const;
    expect(driverOf(options, graceHost(), driver)).toContain("ats='off' ril='on' ssidsize='8' oas='48'");
  });

  describe("a device's ats, by its PCI ids", () => {
    const host = (spec: DeviceSpec) => graceHost({ model: '10de:2941', ...spec });
    const rewritten = (ats: string, spec: DeviceSpec, vsmmuAts: string, options: RewriteOptions = {}) => {
      const values = { ...fleet, ats: limited(vsmmuAts) };
      const text = document(values, {
        '10de:2941': { ats: limited(ats) },
        'ffff:ffff': { ats: limited('no') },
      });
      const result = rewriteDomain(oneGpu(), host(spec), {
        baseline: parseFleetValues(text, 'x'),
        ...options,
      });
      return /name='ats' type='string' value='(\w+)'/.exec(result.text)?.[1] ?? 'nothing';
    };
    test.each([
      ['yes', 'supported', 'on', 'on'],
      ['yes', 'silent', 'on', 'on'],
      ['yes', 'supported', 'off', 'off'],
      ['no', 'supported', 'on', 'off'],
      ['no', 'silent', 'on', 'off'],
      ['no', 'not-supported', 'on', 'off'],
      ['unknown', 'supported', 'on', 'on'],
      ['unknown', 'silent', 'on', 'nothing'],
      ['unknown', 'not-supported', 'on', 'off'],
    ] as const)('fleet %s, kernel %s, vSMMU %s: %s', (ats, kernelAts, vsmmuAts, expected) => {
      expect(rewritten(ats, { kernelAts }, vsmmuAts)).toBe(expected);
    });

    test('what the kernel here does not support is refused', () => {
      expect(codes(() => rewritten('yes', { kernelAts: 'not-supported' }, 'on'))).toEqual(['DEVICE_ATS']);
    });

    test('a wish counts before it, a device of other ids is not concerned, nor a QEMU without the property', () => {
      expect(rewritten('no', {}, 'on', { set: parseWishes(['device.ats=on']) })).toBe('on');
      expect(rewritten('no', { model: '10de:0001' }, 'on')).toBe('on');
      expect(rewritten('no', {}, 'on', { vfioAts: false })).toBe('nothing');
    });
  });

  test('a host that is below it is refused', () => {
    expect(codes(() => driverOf({ baseline }, graceHost({ limits: { ssidsize: 4 } })))).toEqual([
      'HOST_SSIDSIZE',
    ]);
  });

  test.each([
    ['not JSON', '{', 'not JSON'],
    ['another document', '{}', 'vsmmu'],
    ['no member', document(null), 'no host of the fleet'],
    ['a value out of range', document({ ...fleet, oas: limited(40) }), 'oas'],
  ])('malformed: %s', (_, text, message) => {
    expect(() => parseFleetValues(text, 'fleet.json')).toThrow(
      expect.objectContaining({
        code: 'BASELINE_MALFORMED',
        place: 'fleet.json',
        message: expect.stringContaining(message) as unknown,
      }),
    );
  });
});

describe('--unresolvable', () => {
  const unknown = (code: 'HW_INFO_UNKNOWN' | 'HOST_GRANULE'): HostFeatures => {
    const host = hostWith({ '0009:01:00.0': { kernelAts: 'silent' } });
    const [device] = host.devices.values();
    const obstacles = [{ code, message: 'no cdev', remedy: 'Bind it.' }];
    return {
      ...host,
      devices: new Map([
        [device!.bdf, { ...device!, smmu: { ...device!.smmu, limits: undefined, obstacles } }],
      ]),
    };
  };
  const stale = "<driver pciBus='1' accel='on' ats='on' ssidSize='20'/>";

  test('fail says what is not known', () => {
    expect(codes(() => driverOf({}, unknown('HW_INFO_UNKNOWN')))).toEqual(['HW_INFO_UNKNOWN']);
  });

  test('conservative writes what every SMMU has, and hides ATS', () => {
    const { text, decisions } = rewriteDomain(oneGpu(), unknown('HW_INFO_UNKNOWN'), {
      unresolvable: 'conservative',
    });
    expect(text).toContain("<driver pciBus='1' accel='on' ats='off' ril='off' ssidsize='0' oas='44'/>");
    expect(text).toContain("name='ats' type='string' value='off'");
    expect(decisions[0]).toMatchObject({
      rule: 'conservative: what every SMMU that can be accelerated has',
      evidence: expect.stringContaining('no cdev') as unknown,
    });
  });

  test('omit leaves out what would be a guess, placeholders included, and writes what was set', () => {
    const options = { unresolvable: 'omit', set: parseWishes(['ril=off']) } as const;
    expect(driverOf(options, unknown('HW_INFO_UNKNOWN'), stale)).toBe(
      "<driver pciBus='1' accel='on' ril='off'/>",
    );
    const kept = { ...options, existing: 'keep' } as const;
    expect(driverOf(kept, unknown('HW_INFO_UNKNOWN'), stale)).toBe(
      "<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20'/>",
    );
  });

  test('what is known to fail is refused under every policy', () => {
    for (const unresolvable of ['fail', 'omit', 'conservative'] as const)
      expect(codes(() => driverOf({ unresolvable }, unknown('HOST_GRANULE')))).toEqual(['HOST_GRANULE']);
  });

  test('with complete, omit gives such a device no vSMMU', () => {
    const text =
      "<domain type='kvm'><devices><hostdev type='pci'><source><address domain='9' bus='1'/></source></hostdev></devices></domain>";
    const options = { topology: 'complete', unresolvable: 'omit' } as const;
    expect(rewriteDomain(text, unknown('HW_INFO_UNKNOWN'), options).text).toBe(text);
  });
});

describe('the launcher', () => {
  const all = { accel: true, cmdqv: true, vfioAts: true };
  const of = (libvirt: string | undefined, qemu: string | undefined, plugins = false) =>
    chooseTarget({
      libvirt: libvirt === undefined ? undefined : parseVersion(libvirt),
      qemu: qemu === undefined ? undefined : qemuOfVersion(parseVersion(qemu)!),
      plugins,
    });

  test.each([
    ['12.7.0', '11.1.0', false, { target: 'native', vfioAts: true, cmdqv: true }],
    ['13.0.0', '12.0', false, { target: 'native', vfioAts: true, cmdqv: true }],
    ['12.7.0', '11.0.3', false, { target: 'native', vfioAts: false, cmdqv: false }],
    ['12.6.0', '11.1.0', false, { target: 'override', vfioAts: true, cmdqv: true }],
    ['11.10.0-12.el9', '11.1.0', false, { target: 'override', vfioAts: true, cmdqv: true }],
    ['12.7.0', '11.1.0', true, { target: 'both', vfioAts: true, cmdqv: true }],
    ['12.6.0', '11.1.0', true, { target: 'override', vfioAts: true, cmdqv: true }],
    [undefined, undefined, true, { target: 'both', vfioAts: true, cmdqv: true }],
  ] as const)('libvirt %s, QEMU %s, plugins %s', (libvirt, qemu, plugins, expected) => {
    expect(of(libvirt, qemu, plugins)).toEqual(expected);
  });

  test.each([
    ['libvirt before pciBus', '11.9.0', '11.1.0'],
    ["Debian 12's libvirt", '9.0.0', undefined],
    ['QEMU without accel', '12.8.0', '10.2.0'],
  ])('refused: %s', (_, libvirt, qemu) => {
    expect(codes(() => of(libvirt, qemu))).toEqual(['TARGET_LACKS']);
  });

  test('what virsh and QEMU print is read', () => {
    const virsh =
      'Compiled against library: libvirt 12.8.0\nUsing library: libvirt 12.8.0\nUsing API: QEMU 12.8.0\nRunning hypervisor: QEMU 11.1.3\nRunning against daemon: 12.5.0\n';
    expect(libvirtOfVirsh(virsh)).toEqual([12, 5, 0]);
    expect(libvirtOfVirsh(virsh.replace(/Running against.*\n/, ''))).toEqual([12, 8, 0]);
    expect(libvirtOfVirsh('error: failed to connect')).toBeUndefined();
    const smmu =
      'arm-smmuv3 options:\n  accel=<bool>           - Enable\n  cmdqv=<OnOffAuto>\n  stage=<str>\n';
    const vfio = 'vfio-pci options:\n  ats=<OnOffAuto>        - Control\n  x-ats=<bool>\n';
    expect(qemuOfHelp(smmu, vfio)).toEqual(all);
    expect(qemuOfHelp('  stage=<str>\n', '  x-ats=<bool>\n')).toEqual({
      accel: false,
      cmdqv: false,
      vfioAts: false,
    });
  });

  test('a QEMU without cmdqv gets none, not even one that stood', () => {
    const driver = "<driver pciBus='1' accel='on' cmdqv='off'/>";
    expect(driverOf({ cmdqv: false }, graceHost({ limits: { cmdqv: true } }), driver)).not.toContain('cmdqv');
  });
});
