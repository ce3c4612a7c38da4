import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { DomainRefused } from '../src/domain/refused.js';
import { rewriteDomain, type RewriteOptions } from '../src/domain/rewrite.js';
import { parseWishes } from '../src/domain/wishes.js';
import { smmuFeatures } from '../src/smmu/compatibility.js';
import type { DeviceFeatures, HostFeatures, KernelAts, SmmuLimits } from '../src/smmu/features.js';
import { ALL_AUTO, type AskedVsmmu, type OnOffAuto } from '../src/smmu/properties.js';
import { resolveVsmmu, type BehindDevice } from '../src/smmu/resolve.js';
import { oneGpu } from './fixtures/domain/documents.js';
import { bdf, graceHost, hostWith, STRONG } from './fixtures/domain/host.js';

/** docs/rules.md by heading: asked value, column, expected cell; short forms that a section explains are written out. */
function tables(): Map<string, [asked: string, column: string, expected: string][]> {
  const result = new Map<string, [string, string, string][]>();
  for (const section of readFileSync('docs/rules.md', 'utf8').split('\n## ').slice(1)) {
    const [heading = '', ...lines] = section.split('\n');
    const legend = new Map(
      [...section.matchAll(/`(\w)` is (\w+)/g)].map(([, short = '', long = '']) => [short, long]),
    );
    const rows = lines
      .filter((line) => line.startsWith('|') && !line.startsWith('|---'))
      .map((line) =>
        line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      );
    const [[, ...columns] = [], ...body] = rows;
    const cells = body.flatMap(([asked = '', ...values]) =>
      values.map((value, index): [string, string, string] => [
        asked,
        columns[index] ?? '',
        legend.get(value) ?? value,
      ]),
    );
    result.set(heading.trim(), cells);
  }
  return result;
}

const TABLES = tables();
type Property = 'ats' | 'ril' | 'cmdqv' | 'ssidsize' | 'oas';

/** IDR words of a host that is strong but for one property, so that registers are decoded on the way. */
function hostOf(property: Property, column: string): HostFeatures {
  const oas = [32, 36, 40, 42, 44, 48, 52, 56].indexOf(property === 'oas' ? Number(column) : 48);
  const ssidsize = property === 'ssidsize' ? Number(column) : 20;
  const ats = property === 'ats' ? Number(column === 'yes') : 1;
  const ril = property === 'ril' ? Number(column === 'yes') : 1;
  const words = [
    (0x0d4c169b & ~(1 << 10)) | (ats << 10),
    (0x02730510 & ~0x7c0) | (ssidsize << 6),
    0,
    (0x1404 & ~(1 << 10)) | (ril << 10),
    0,
    0x70 | oas,
  ] as const;
  const cmdqv = property !== 'cmdqv' || column === 'unknown' ? undefined : column === 'yes';
  const [device] = graceHost().devices.values();
  const smmu = smmuFeatures('smmu3.0x1', 2, words, cmdqv);
  return { origin: 'the test host', devices: new Map([[device!.bdf, { ...device!, smmu }]]) };
}

/** The value that the driver element ends with, or the code of the refusal. */
function rewritten(property: Property, host: HostFeatures, options: RewriteOptions, driver?: string): string {
  try {
    const { text } = rewriteDomain(oneGpu(driver === undefined ? {} : { driver }), host, options);
    return new RegExp(`<driver pciBus[^>]* ${property}='(\\w+)'`).exec(text)?.[1] ?? 'absent';
  } catch (error) {
    if (error instanceof DomainRefused) return error.code;
    throw error;
  }
}

describe.each(['ats', 'ril', 'cmdqv', 'ssidsize', 'oas'] as const)(
  '%s of an accelerated vSMMU',
  (property) => {
    const cells = TABLES.get(`${property} of an accelerated vSMMU`) ?? [];

    test.each(cells)('asked %s, host %s: %s', (asked, column, expected) => {
      const host = hostOf(property, column);
      const behind = [...host.devices.values()].map((features): BehindDevice => ({
        features,
        ats: 'auto',
        coldPlugged: true,
      }));
      const value = /^\d+$/.test(asked) ? Number(asked) : asked;
      const resolution = resolveVsmmu({ ...ALL_AUTO, cmdqv: 'off', [property]: value }, behind);
      expect(resolution.ok ? String(resolution.vsmmu[property]) : resolution.errors[0]?.code).toBe(expected);

      const set = parseWishes([`${property}=${asked}`]);
      expect(rewritten(property, host, { set })).toBe(expected);
      if (asked === 'auto') return;
      const driver = `<driver pciBus='1' accel='on' ${property}='${asked}'/>`;
      expect(rewritten(property, host, { existing: 'keep' }, driver)).toBe(expected);
    });

    test('the table is whole', () => expect(cells.length).toBeGreaterThanOrEqual(6));
  },
);

test.each((TABLES.get('a vSMMU without acceleration') ?? []).filter(([, , expected]) => expected !== '-'))(
  'without acceleration, asked %s of %s: %s',
  (asked, property, expected) => {
    const value = /^\d+$/.test(asked) ? Number(asked) : asked;
    const resolution = resolveVsmmu({ ...ALL_AUTO, accel: false, [property]: value }, []);
    const result = resolution.ok ? resolution.vsmmu[property as Property] : resolution.errors[0]?.code;
    expect(String(result)).toBe(expected);
  },
);

describe.each([
  ['with', true],
  ['without', false],
])('a device behind a vSMMU %s ATS', (word, ats) => {
  test.each(TABLES.get(`what is written for a device behind a vSMMU ${word} ATS`) ?? [])(
    'asked %s, kernel %s: %s',
    (asked, kernel, expected) => {
      const host = graceHost({ kernelAts: kernel as KernelAts, limits: { ats } });
      const set = parseWishes([`device.ats=${asked}`]);
      let result: string;
      try {
        const { text } = rewriteDomain(oneGpu(), host, { set });
        result = /<qemu:property name='ats' type='string' value='(\w+)'/.exec(text)?.[1] ?? 'nothing';
      } catch (error) {
        if (!(error instanceof DomainRefused)) throw error;
        result = error.code;
      }
      expect(result).toBe(expected);
    },
  );
});

test.each(TABLES.get("what the guest sees of a device's ATS capability") ?? [])(
  'ATS asked %s, kernel %s: %s',
  (asked, column, expected) => {
    const [kernel = '', capability] = column.split(', ');
    const [device] = graceHost({ kernelAts: kernel as KernelAts }).devices.values();
    const features: DeviceFeatures = { ...device!, atsCapability: capability === undefined };
    const resolution = resolveVsmmu(ALL_AUTO, [{ features, ats: asked as OnOffAuto, coldPlugged: true }]);
    const seen = resolution.ok
      ? resolution.devices[0]?.atsExposed === true
        ? 'shown'
        : 'hidden'
      : undefined;
    expect(seen ?? (!resolution.ok && resolution.errors[0]?.code)).toBe(expected);
  },
);

test.each(TABLES.get('what is written where nothing is known of the host SMMU') ?? [])(
  'nothing known of the host, asked %s, %s: %s',
  (asked, policy, expected) => {
    const [property = ''] = asked.split('=');
    const unresolvable = policy as NonNullable<RewriteOptions['unresolvable']>;
    const host = graceHost({ unknown: true, kernelAts: 'silent' });
    expect(rewritten(property as Property, host, { unresolvable, set: parseWishes([asked]) })).toBe(expected);
  },
);

describe('kinds of devices', () => {
  const address = "<source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>";
  const driver = "<driver iommufd='yes'/>";
  const KINDS: Readonly<Record<string, (place: string) => string>> = {
    'hostdev, PCI': (at) => `<hostdev mode='subsystem' type='pci'>${driver}${address}${at}</hostdev>`,
    'hostdev, PCI, without mode': (at) => `<hostdev type='pci'>${driver}${address}${at}</hostdev>`,
    'interface of SR-IOV': (at) => `<interface type='hostdev'>${address}${at}</interface>`,
    'hostdev, PCI, address unassigned': () =>
      `<hostdev mode='subsystem' type='pci'>${address}<address type='unassigned'/></hostdev>`,
    'hostdev, mediated': (at) =>
      `<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source>${at}</hostdev>`,
    'hostdev, USB': () =>
      "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x1'/></source></hostdev>",
    'hostdev, capabilities': () =>
      "<hostdev mode='capabilities' type='misc'><source><char>/dev/x</char></source></hostdev>",
    'controller, virtio-scsi': (at) =>
      `<controller type='scsi' index='0' model='virtio-scsi'>${at}</controller>`,
    'controller, root port': (at) =>
      `<controller type='pci' index='5' model='pcie-root-port'>${at}</controller>`,
  };
  const own = "<address type='pci' bus='0x02' slot='0x00' function='0x0'/>";
  const root = "<address type='pci' bus='0x00' slot='0x09' function='0x0'/>";
  const places: Readonly<Record<string, (kind: (place: string) => string) => string>> = {
    'behind an accelerated vSMMU': (kind) => oneGpu({ hostdev: kind(own) + OTHER_GPU }),
    'below pcie.0, complete': (kind) => `<domain type='kvm'><devices>${kind(root)}</devices></domain>`,
    'no address, complete': (kind) => `<domain type='kvm'><devices>${kind('')}</devices></domain>`,
  };
  /** A device that gives the vSMMU its values where the one that is looked at doesn't. */
  const OTHER_GPU = `<hostdev mode='subsystem' type='pci'>${driver}<source><address domain='0x0009' bus='0x02' slot='0' function='0'/></source><address type='pci' bus='0x01' slot='0x08'/><alias name='ua-other'/></hostdev>`;
  const host = hostWith({ '0009:01:00.0': {}, '0009:02:00.0': {} });

  test.each(TABLES.get('what becomes of each kind of device') ?? [])(
    '%s, %s: %s',
    (name, place, expected) => {
      const text = places[place]!(KINDS[name]!);
      const complete = place.endsWith('complete');
      let outcome: string;
      try {
        const { text: written } = rewriteDomain(text, host, { topology: complete ? 'complete' : 'rewrite' });
        const vsmmu = complete && /<iommu model='smmuv3'>/.test(written);
        outcome = vsmmu ? 'vSMMU' : /alias='hostdev0'/.test(written) ? 'ats' : '-';
      } catch (error) {
        if (!(error instanceof DomainRefused)) throw error;
        outcome = error.code;
      }
      expect(outcome).toBe(expected);
    },
  );
});

describe('properties', () => {
  const limits: fc.Arbitrary<SmmuLimits> = fc.record({
    ats: fc.boolean(),
    ril: fc.boolean(),
    ssidsize: fc.integer({ min: 0, max: 20 }),
    oas: fc.constantFrom(44, 48, 52),
    cmdqv: fc.constantFrom(true, false, undefined),
  });
  const onOffAuto = fc.constantFrom<OnOffAuto>('on', 'off', 'auto');
  const asked: fc.Arbitrary<AskedVsmmu> = fc.record({
    accel: fc.constant(true),
    ats: onOffAuto,
    ril: onOffAuto,
    ssidsize: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 0, max: 20 })),
    oas: fc.constantFrom('auto' as const, 44, 48),
    cmdqv: onOffAuto,
  });
  const kernel = fc.constantFrom<KernelAts>('supported', 'not-supported', 'silent');
  const device = (address: string, of: SmmuLimits, kernelAts: KernelAts): BehindDevice => ({
    features: {
      bdf: bdf(address),
      smmu: { name: 'smmu3.0x1', limits: of, obstacles: [] },
      kernelAts,
      atsCapability: true,
      numaNode: undefined,
    },
    ats: 'auto',
    coldPlugged: true,
  });
  const rank = (value: unknown) => (value === 'on' ? 1 : value === 'off' ? 0 : Number(value));
  const NAMES = ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;

  test('explicit stays, or is refused', () => {
    fc.assert(
      fc.property(asked, limits, kernel, (wish, of, says) => {
        const resolution = resolveVsmmu(wish, [device('0009:01:00.0', of, says)]);
        if (!resolution.ok) return;
        for (const name of NAMES) if (wish[name] !== 'auto') expect(resolution.vsmmu[name]).toBe(wish[name]);
      }),
    );
  });

  test('monotone: a weaker host never resolves to more, and never starts what a stronger one refuses', () => {
    fc.assert(
      fc.property(asked, limits, limits, kernel, (wish, a, b, says) => {
        const weaker: SmmuLimits = {
          ats: a.ats && b.ats,
          ril: a.ril && b.ril,
          ssidsize: Math.min(a.ssidsize, b.ssidsize),
          oas: Math.min(a.oas, b.oas),
          cmdqv: a.cmdqv === true && b.cmdqv === true ? true : a.cmdqv === undefined ? undefined : false,
        };
        const strong = resolveVsmmu(wish, [device('0009:01:00.0', a, says)]);
        const weak = resolveVsmmu(wish, [device('0009:01:00.0', weaker, says)]);
        if (!weak.ok) return;
        expect(strong.ok).toBe(true);
        if (strong.ok)
          for (const name of NAMES)
            expect(rank(weak.vsmmu[name])).toBeLessThanOrEqual(rank(strong.vsmmu[name]));
      }),
    );
  });

  test('devices of one SMMU: their order changes nothing', () => {
    fc.assert(
      fc.property(asked, limits, fc.array(kernel, { minLength: 2, maxLength: 5 }), (wish, of, says) => {
        const devices = says.map((one, index) => device(`0009:0${index + 1}:00.0`, of, one));
        const forwards = resolveVsmmu(wish, devices);
        const backwards = resolveVsmmu(wish, devices.toReversed());
        expect(forwards.ok).toBe(backwards.ok);
        if (forwards.ok && backwards.ok) {
          expect(backwards.vsmmu).toEqual(forwards.vsmmu);
          expect(backwards.devices.toReversed()).toEqual(forwards.devices);
        }
      }),
    );
  });

  test('the cold-plug rule: a device plugged later takes the values of the first cold-plugged one', () => {
    const later = { ...device('0009:01:00.0', { ...STRONG, ril: false }, 'supported'), coldPlugged: false };
    const first = device('0009:02:00.0', STRONG, 'supported');
    expect(resolveVsmmu(ALL_AUTO, [later, first])).toMatchObject({
      ok: false,
      errors: [{ code: 'HOST_RIL' }],
    });
    expect(resolveVsmmu(ALL_AUTO, [later])).toMatchObject({
      ok: false,
      errors: [{ code: 'AUTO_NEEDS_COLD_PLUG' }],
    });
  });

  test('idempotent: a rewritten domain is not changed again, nor by keeping its values', () => {
    const target = fc.constantFrom('native' as const, 'override' as const, 'both' as const);
    const spelling = fc.constantFrom('ssidsize' as const, 'ssidSize' as const, 'both' as const);
    fc.assert(
      fc.property(limits, kernel, target, spelling, fc.boolean(), (of, kernelAts, where, name, vfioAts) => {
        const host = graceHost({ limits: of, kernelAts });
        const options = { target: where, spelling: name, vfioAts };
        const once = rewriteDomain(oneGpu(), host, options).text;
        expect(rewriteDomain(once, host, options).text).toBe(once);
        expect(rewriteDomain(once, host, { ...options, existing: 'keep' }).text).toBe(once);
      }),
    );
  });
});
