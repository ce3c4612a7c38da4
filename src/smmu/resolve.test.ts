import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { type Bdf, parseBdf } from '../bdf.js';
import { smmuFeatures } from './compatibility.js';
import type { DeviceFeatures, KernelAts } from './features.js';
import { ALL_AUTO, type AskedVsmmu, type OnOffAuto } from './properties.js';
import type { IdrWords } from './registers.js';
import { type BehindDevice, type Resolution, resolveVsmmu } from './resolve.js';

/** Builds IDR words of an SMMU that QEMU accepts, with what a test wants changed. */
interface Silicon {
  ats?: boolean;
  ril?: boolean;
  ssidSize?: number;
  oasField?: number;
  stLevel?: number;
  ttf?: number;
  ttEndian?: number;
  sidSize?: number;
  granules?: number;
}

function idr(silicon: Silicon = {}): IdrWords {
  const { ats = true, ril = true, ssidSize = 20, oasField = 5, stLevel = 1 } = silicon;
  const { ttf = 2, ttEndian = 2, sidSize = 16, granules = 7 } = silicon;
  return [
    (stLevel << 27) | (ttEndian << 21) | (Number(ats) << 10) | (ttf << 2) | 2,
    (ssidSize << 6) | sidSize,
    0,
    Number(ril) << 10,
    0,
    (granules << 4) | oasField,
  ];
}

function address(text: string): Bdf {
  const bdf = parseBdf(text);
  if (bdf === undefined) throw new Error(`${text} is no BDF`);
  return bdf;
}

interface DeviceOptions extends Silicon {
  bdf?: string;
  smmu?: string;
  dataType?: number;
  kernelAts?: KernelAts;
  atsCapability?: boolean;
  cmdqv?: boolean;
  asked?: OnOffAuto;
  coldPlugged?: boolean;
}

function device(options: DeviceOptions = {}): BehindDevice {
  const { bdf = '0009:01:00.0', smmu = 'smmu3.0x1', dataType = 2, cmdqv } = options;
  const features: DeviceFeatures = {
    bdf: address(bdf),
    smmu: smmuFeatures(smmu, dataType, idr(options), cmdqv),
    kernelAts: options.kernelAts ?? 'supported',
    atsCapability: options.atsCapability ?? true,
    numaNode: undefined,
  };
  return { features, ats: options.asked ?? 'auto', coldPlugged: options.coldPlugged ?? true };
}

const codes = (resolution: Resolution) =>
  resolution.ok ? [] : resolution.errors.map((error) => `${error.property ?? '-'}:${error.code}`);

describe('accel=on', () => {
  const cases: readonly [
    string,
    Partial<AskedVsmmu>,
    readonly DeviceOptions[],
    object | readonly string[],
  ][] = [
    ['auto takes the host values', {}, [{}], { ats: 'on', ril: 'on', ssidsize: 20, oas: 48, pasid: true }],
    ['auto ats is the SMMU bit, not the device', {}, [{ kernelAts: 'not-supported' }], { ats: 'on' }],
    ['auto oas is 48 on a 52-bit host', {}, [{ oasField: 6 }], { oas: 48 }],
    ['auto oas is 44 on a 44-bit host', {}, [{ oasField: 4 }], { oas: 44 }],
    ['a 42-bit host has no accel', {}, [{ oasField: 3 }], ['oas:HOST_OAS']],
    ['no substreams means no PASID', {}, [{ ssidSize: 0 }], { ssidsize: 0, pasid: false }],
    [
      'explicit lower values stay',
      { ats: 'off', ril: 'off', ssidsize: 8, oas: 44 },
      [{}],
      { ats: 'off', ril: 'off', ssidsize: 8, oas: 44 },
    ],
    ['ssidsize above the host', { ssidsize: 20 }, [{ ssidSize: 16 }], ['ssidsize:HOST_SSIDSIZE']],
    ['ril above the host', { ril: 'on' }, [{ ril: false }], ['ril:HOST_RIL']],
    ['oas above the host', { oas: 48 }, [{ oasField: 4 }], ['oas:HOST_OAS']],
    ['ats above the host', { ats: 'on' }, [{ ats: false }], ['ats:HOST_ATS']],
    ['cmdqv above the host', { cmdqv: 'on' }, [{ cmdqv: false }], ['cmdqv:HOST_CMDQV']],
    ['cmdqv auto where the host has it', { cmdqv: 'auto' }, [{ cmdqv: true }], { cmdqv: 'on' }],
    ['cmdqv auto where nothing is known', { cmdqv: 'auto' }, [{}], { cmdqv: 'off' }],
    ['linear stream table', {}, [{ stLevel: 0 }], ['accel:HOST_STLEVEL']],
    ['big-endian tables', {}, [{ ttEndian: 3 }], ['accel:HOST_TTENDIAN']],
    ['both endians are fine', {}, [{ ttEndian: 0 }], { accel: 'on' }],
    ['AArch32 tables only', {}, [{ ttf: 1 }], ['accel:HOST_TTF']],
    ['15 StreamID bits', {}, [{ sidSize: 15 }], ['accel:HOST_SIDSIZE']],
    ['no 16K granule', {}, [{ granules: 5 }], ['accel:HOST_GRANULE']],
    ['an Intel IOMMU', {}, [{ dataType: 1 }], ['accel:HW_INFO_TYPE']],
    ['a kernel without SMMUv3 hw_info', {}, [{ dataType: 0 }], ['accel:HW_INFO_TYPE']],
    ['no device and auto', {}, [], ['-:AUTO_NEEDS_COLD_PLUG']],
    ['only a hot-plugged device and auto', {}, [{ coldPlugged: false }], ['-:AUTO_NEEDS_COLD_PLUG']],
    [
      'no device and all explicit',
      { ats: 'on', ril: 'on', ssidsize: 20, oas: 48 },
      [],
      { ats: 'on', oas: 48 },
    ],
    [
      'several errors are all told',
      { ril: 'on', ssidsize: 20 },
      [{ ril: false, ssidSize: 0, stLevel: 0 }],
      ['accel:HOST_STLEVEL', 'ssidsize:HOST_SSIDSIZE', 'ril:HOST_RIL'],
    ],
    [
      'no cold-plugged device does not hide what an explicit value lacks',
      { ril: 'on' },
      [{ ril: false, coldPlugged: false }],
      ['-:AUTO_NEEDS_COLD_PLUG', 'ril:HOST_RIL'],
    ],
    ['an oas that no model implements', { oas: 52 }, [{ oasField: 7 }], ['oas:VALUE_NOT_IMPLEMENTED']],
    ['21 substream id bits', { ssidsize: 21 }, [{ ssidSize: 31 }], ['ssidsize:VALUE_NOT_IMPLEMENTED']],
    [
      'the first cold-plugged device decides, a weaker later one is refused',
      {},
      [{}, { bdf: '0009:02:00.0', ril: false }],
      ['ril:HOST_RIL'],
    ],
    [
      'a hot-plugged device does not decide',
      {},
      [{ coldPlugged: false }, { bdf: '0009:02:00.0', ril: false }],
      { ril: 'off' },
    ],
    ['devices of two SMMUs', {}, [{}, { bdf: '0019:01:00.0', smmu: 'smmu3.0x2' }], ['-:MIXED_SMMUS']],
  ];

  test.each(cases)('%s', (_name, asked, devices, expected) => {
    const resolution = resolveVsmmu({ ...ALL_AUTO, cmdqv: 'off', ...asked }, devices.map(device));
    if (Array.isArray(expected)) expect(codes(resolution)).toEqual(expected);
    else expect(resolution).toMatchObject({ ok: true, vsmmu: expected });
  });
});

describe('accel=off', () => {
  const plain: AskedVsmmu = { ...ALL_AUTO, accel: false };

  test('auto means the old fixed defaults, whatever the host', () => {
    expect(resolveVsmmu(plain, [device({ ril: false, stLevel: 0 })])).toMatchObject({
      ok: true,
      vsmmu: { accel: 'off', ril: 'on', ats: 'off', oas: 44, ssidsize: 0, cmdqv: 'off', pasid: false },
    });
  });

  test.each<[string, Partial<AskedVsmmu>, string]>([
    ['ril=off', { ril: 'off' }, 'ril:ACCEL_REQUIRED'],
    ['ats=on', { ats: 'on' }, 'ats:ACCEL_REQUIRED'],
    ['oas=48', { oas: 48 }, 'oas:ACCEL_REQUIRED'],
    ['ssidsize=1', { ssidsize: 1 }, 'ssidsize:ACCEL_REQUIRED'],
    ['cmdqv=on', { cmdqv: 'on' }, 'cmdqv:ACCEL_REQUIRED'],
  ])('%s is an error', (_name, asked, code) => {
    expect(codes(resolveVsmmu({ ...plain, ...asked }, []))).toEqual([code]);
  });
});

describe('vfio-pci ats', () => {
  const table: readonly [OnOffAuto, KernelAts, 'shown' | 'hidden' | 'refused'][] = [
    ['off', 'not-supported', 'hidden'],
    ['off', 'supported', 'hidden'],
    ['off', 'silent', 'hidden'],
    ['auto', 'not-supported', 'hidden'],
    ['auto', 'supported', 'shown'],
    ['auto', 'silent', 'shown'],
    ['on', 'not-supported', 'refused'],
    ['on', 'supported', 'shown'],
    ['on', 'silent', 'shown'],
  ];

  test.each(table)('asked %s, kernel says %s: %s', (asked, kernelAts, expected) => {
    const resolution = resolveVsmmu(ALL_AUTO, [device({ asked, kernelAts })]);
    if (expected === 'refused') expect(codes(resolution)).toEqual(['ats:DEVICE_ATS']);
    else expect(resolution).toMatchObject({ ok: true, devices: [{ atsExposed: expected === 'shown' }] });
  });

  test.each<[string, DeviceOptions, string]>([
    ['SMMU, capability and kernel agree', {}, 'yes'],
    ['the SMMU has none', { ats: false }, 'no'],
    ['the device has none', { atsCapability: false, kernelAts: 'silent' }, 'no'],
    ['the kernel says no', { kernelAts: 'not-supported' }, 'no'],
    ['the kernel cannot say', { kernelAts: 'silent' }, 'unknown'],
    ['the SMMU could not be read', { dataType: 0 }, 'unknown'],
  ])('effective ATS where %s', (_name, options, expected) => {
    const resolution = resolveVsmmu({ ...ALL_AUTO, accel: false }, [device(options)]);
    expect(resolution).toMatchObject({ ok: true, devices: [{ effectiveAts: expected }] });
  });
});

describe('laws', () => {
  const onOffAuto = fc.constantFrom<OnOffAuto>('on', 'off', 'auto');
  const askedArbitrary = fc.record<AskedVsmmu>({
    accel: fc.boolean(),
    ats: onOffAuto,
    ril: onOffAuto,
    ssidsize: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 0, max: 21 })),
    oas: fc.constantFrom<number | 'auto'>('auto', 44, 48, 52),
    cmdqv: onOffAuto,
  });
  const siliconArbitrary = fc.record({
    ats: fc.boolean(),
    ril: fc.boolean(),
    ssidSize: fc.integer({ min: 0, max: 20 }),
    oasField: fc.integer({ min: 0, max: 7 }),
  });
  const silent = (options: DeviceOptions) => device({ kernelAts: 'silent', ...options });

  test('what was resolved, asked for explicitly, resolves to itself', () => {
    fc.assert(
      fc.property(askedArbitrary, siliconArbitrary, (asked, silicon) => {
        const first = resolveVsmmu(asked, [silent(silicon)]);
        if (!first.ok) return;
        const again = resolveVsmmu({ ...first.vsmmu, accel: asked.accel }, [silent(silicon)]);
        expect(again).toEqual(first);
      }),
    );
  });

  test('explicit values are never changed', () => {
    fc.assert(
      fc.property(askedArbitrary, siliconArbitrary, (asked, silicon) => {
        const resolution = resolveVsmmu(asked, [silent(silicon)]);
        if (!resolution.ok) return;
        for (const key of ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const)
          if (asked[key] !== 'auto') expect(resolution.vsmmu[key]).toBe(asked[key]);
      }),
    );
  });

  test('a weaker host never resolves to more', () => {
    fc.assert(
      fc.property(siliconArbitrary, siliconArbitrary, (a, b) => {
        const weaker = {
          ats: a.ats && b.ats,
          ril: a.ril && b.ril,
          ssidSize: Math.min(a.ssidSize, b.ssidSize),
          oasField: Math.min(a.oasField, b.oasField),
        };
        const strong = resolveVsmmu(ALL_AUTO, [silent(a)]);
        const weak = resolveVsmmu(ALL_AUTO, [silent(weaker)]);
        if (!weak.ok) return;
        expect(strong.ok).toBe(true);
        if (!strong.ok) return;
        expect(weak.vsmmu.ssidsize).toBeLessThanOrEqual(strong.vsmmu.ssidsize);
        expect(weak.vsmmu.oas).toBeLessThanOrEqual(strong.vsmmu.oas);
        for (const key of ['ats', 'ril'] as const)
          if (weak.vsmmu[key] === 'on') expect(strong.vsmmu[key]).toBe('on');
      }),
    );
  });

  test('the order of cold-plugged devices of one SMMU does not matter', () => {
    fc.assert(
      fc.property(
        askedArbitrary,
        siliconArbitrary,
        fc.array(onOffAuto, { minLength: 2, maxLength: 4 }),
        (asked, silicon, ats) => {
          const devices = ats.map((wish, index) =>
            silent({ ...silicon, asked: wish, bdf: `0009:0${index}:00.0` }),
          );
          const forward = resolveVsmmu(asked, devices);
          const backward = resolveVsmmu(asked, devices.toReversed());
          expect(forward.ok && forward.vsmmu).toEqual(backward.ok && backward.vsmmu);
          if (!forward.ok) expect(codes(forward).toSorted()).toEqual(codes(backward).toSorted());
        },
      ),
    );
  });
});
