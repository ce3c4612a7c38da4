import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { formatBdf, parseBdf, type Bdf } from '../bdf.js';
import { ERROR_CODES, type ErrorCode } from '../error-codes.js';
import { VsmmuError } from '../errors.js';
import type { DeviceFeatures, HostFeatures, SmmuFeatures, SmmuLimits } from '../smmu/features.js';
import type { AskedVsmmu, OnOffAuto } from '../smmu/properties.js';
import { resolveVsmmu } from '../smmu/resolve.js';
import { parseAnnotation } from './read-resolved.js';
import { ANNOTATION_LIMIT_BYTES } from './resolved-annotation.js';
import { annotationOf, renderAnnotation } from './write-resolved.js';

const GRACE_LIMITS: SmmuLimits = { ats: true, ril: true, ssidsize: 20, oas: 48, cmdqv: false };
const GRACE: SmmuFeatures = { name: 'smmu3.0x0000000011000000', limits: GRACE_LIMITS, obstacles: [] };

function bdf(text: string): Bdf {
  const parsed = parseBdf(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

function device(address: string, smmu: SmmuFeatures, rest: Partial<DeviceFeatures> = {}): DeviceFeatures {
  return {
    bdf: bdf(address),
    smmu,
    kernelAts: 'supported',
    atsCapability: true,
    numaNode: undefined,
    ...rest,
  };
}

function host(...devices: DeviceFeatures[]): HostFeatures {
  return { origin: 'node gpu-7', devices: new Map(devices.map((one) => [one.bdf, one])) };
}

function refusal(text: string): VsmmuError {
  try {
    parseAnnotation(text);
  } catch (error) {
    if (error instanceof VsmmuError) return error;
  }
  throw new Error('it was accepted');
}

describe('the text of vsmmu.io/resolved', () => {
  test('two GPUs behind two SMMUs', () => {
    const other: SmmuFeatures = { ...GRACE, name: 'smmu3.0x0000000012000000' };
    const features = host(
      device('0009:01:00.0', GRACE),
      device('0019:01:00.0', other, { kernelAts: 'silent' }),
    );
    expect(annotationOf(features, 'gpu-7')).toEqual({
      version: 1,
      node: 'gpu-7',
      smmus: {
        'smmu3.0x0000000011000000': {
          accel: 'on',
          ats: 'on',
          ril: 'on',
          ssidsize: 20,
          oas: 48,
          cmdqv: 'off',
        },
        'smmu3.0x0000000012000000': {
          accel: 'on',
          ats: 'on',
          ril: 'on',
          ssidsize: 20,
          oas: 48,
          cmdqv: 'off',
        },
      },
      groups: [
        { smmu: 'smmu3.0x0000000011000000', ats: 'supported', capability: 'yes' },
        { smmu: 'smmu3.0x0000000012000000', ats: 'silent', capability: 'yes' },
      ],
      devices: { '0009:01:00.0': 0, '0019:01:00.0': 1 },
    });
  });

  test('an SMMU that cannot run accel keeps every reason', () => {
    const poor: SmmuFeatures = {
      name: 'smmu3.0x1',
      limits: { ...GRACE_LIMITS, oas: 40, cmdqv: undefined },
      obstacles: [
        { code: 'HOST_OAS', message: 'IDR5.OAS is 40 bits', remedy: 'Use another host.' },
        { code: 'HOST_GRANULE', message: 'no 16K', remedy: 'Use another host.' },
      ],
    };
    const features = host(device('0000:01:00.0', poor));
    expect(annotationOf(features, 'n').smmus).toEqual({
      'smmu3.0x1': {
        accel: 'impossible',
        code: 'HOST_OAS',
        because: 'IDR5.OAS is 40 bits',
        remedy: 'Use another host.',
        also: [{ code: 'HOST_GRANULE', because: 'no 16K', remedy: 'Use another host.' }],
        limits: { ats: 'on', ril: 'on', ssidsize: 20, oas: 40 },
      },
    });
    expect(parseAnnotation(renderAnnotation(features, 'n')).features.devices).toEqual(features.devices);
  });

  test('what a host says differently of one SMMU name stays apart, and no name stays no name', () => {
    const unread: SmmuFeatures = {
      name: GRACE.name,
      limits: undefined,
      obstacles: [{ code: 'HW_INFO_UNKNOWN', message: 'EBUSY', remedy: 'Probe it when it is free.' }],
    };
    const nameless: SmmuFeatures = { ...unread, name: undefined };
    const features = host(
      device('0000:01:00.0', GRACE),
      device('0000:02:00.0', unread),
      device('0000:03:00.0', nameless),
    );
    const annotation = annotationOf(features, 'n');
    expect(Object.keys(annotation.smmus)).toEqual([GRACE.name, `${String(GRACE.name)}#2`, '#1']);
    expect(parseAnnotation(JSON.stringify(annotation)).features.devices).toEqual(features.devices);
  });

  test('1,024 devices stay far below what Kubernetes allows', () => {
    const smmus = Array.from({ length: 16 }, (_, index): SmmuFeatures => ({
      ...GRACE,
      name: `smmu3.0x${index.toString(16).padStart(16, '0')}`,
    }));
    const devices = Array.from({ length: 1024 }, (_, index) =>
      device(String(formatBdf(index >> 6, index & 63, 0, 0)), smmus[index >> 6]!, { numaNode: index >> 9 }),
    );
    const text = renderAnnotation(host(...devices), 'gpu-7');
    expect(parseAnnotation(text).features.devices.size).toBe(1024);
    expect(Buffer.byteLength(text)).toBeLessThan(ANNOTATION_LIMIT_BYTES / 8);
  });

  test('1,024 devices with a reason of their own each give way to a general reason, and the rest stays', () => {
    const devices = Array.from({ length: 1024 }, (_, index) =>
      device(String(formatBdf(index >> 6, index & 63, 0, 0)), {
        name: undefined,
        limits: undefined,
        obstacles: [
          {
            code: 'HW_INFO_UNKNOWN',
            message: `device ${index}: ${'EBUSY '.repeat(40)}`,
            remedy: 'Free it. '.repeat(30),
          },
        ],
      }),
    );
    const text = renderAnnotation(host(...devices, device('0100:00:00.0', GRACE)), 'gpu-7');
    expect(Buffer.byteLength(text)).toBeLessThan(ANNOTATION_LIMIT_BYTES / 8);
    const back = parseAnnotation(text).features.devices;
    expect(back.size).toBe(1025);
    expect(back.get(bdf('0100:00:00.0'))?.smmu).toEqual(GRACE);
    expect(back.get(bdf('0000:00:00.0'))?.smmu.obstacles.map(({ code }) => code)).toEqual([
      'HW_INFO_UNKNOWN',
    ]);
  });
});

test('version 2 tells models too, and only of devices that have one', () => {
  const annotation = {
    version: 2,
    node: 'n',
    smmus: { s: { accel: 'on', ats: 'on', ril: 'on', ssidsize: 20, oas: 48 } },
    groups: [
      { smmu: 's', ats: 'silent', model: '10de:2941' },
      { smmu: 's', ats: 'silent' },
    ],
    devices: { '0000:01:00.0': 0, '0000:02:00.0': 1 },
  };
  const { devices } = parseAnnotation(JSON.stringify(annotation)).features;
  expect([...devices.values()].map(({ model }) => model)).toEqual(['10de:2941', undefined]);
  const evil = JSON.stringify(annotation).replace('10de:2941', "10de:2941'/>");
  expect(refusal(evil).code).toBe('ANNOTATION_MALFORMED');
});

describe('what is refused', () => {
  const good = annotationOf(host(device('0009:01:00.0', GRACE)), 'gpu-7');
  const key = String(GRACE.name);

  test.each<[string, unknown, ErrorCode]>([
    ['no version', { ...good, version: undefined }, 'ANNOTATION_VERSION'],
    ['a version of the future', { ...good, version: 3 }, 'ANNOTATION_VERSION'],
    ['a version as text', { ...good, version: '1' }, 'ANNOTATION_VERSION'],
    ['an array', [], 'ANNOTATION_VERSION'],
    ['an unknown field', { ...good, extra: 1 }, 'ANNOTATION_MALFORMED'],
    ['a node that is no name', { ...good, node: 'a b' }, 'ANNOTATION_MALFORMED'],
    ['a property that is text', patchedSmmu({ ats: 'on" evil="' }), 'ANNOTATION_MALFORMED'],
    ['ssidsize out of range', patchedSmmu({ ssidsize: 32 }), 'ANNOTATION_MALFORMED'],
    ['ssidsize as a fraction', patchedSmmu({ ssidsize: 1.5 }), 'ANNOTATION_MALFORMED'],
    ['accel as neither', patchedSmmu({ accel: 'maybe' }), 'ANNOTATION_MALFORMED'],
    ['an SMMU name with markup', { ...good, smmus: { '<x>': good.smmus[key] } }, 'ANNOTATION_MALFORMED'],
    ['a device that is no address', { ...good, devices: { gpu: 0 } }, 'ANNOTATION_MALFORMED'],
    ['an address in upper case', { ...good, devices: { '000A:01:00.0': 0 } }, 'ANNOTATION_MALFORMED'],
    ['a group that is not there', { ...good, devices: { '0009:01:00.0': 1 } }, 'ANNOTATION_MALFORMED'],
    ['a group of no SMMU', { ...good, groups: [{ smmu: 'x', ats: 'silent' }] }, 'ANNOTATION_MALFORMED'],
    [
      'a group with a fourth answer',
      { ...good, groups: [{ smmu: key, ats: 'perhaps' }] },
      'ANNOTATION_MALFORMED',
    ],
  ])('%s', (_, json, code) => {
    const error = refusal(JSON.stringify(json));
    expect(error.code).toBe(code);
    expect(error.remedy).not.toBe('');
  });

  test('no JSON, and more text than an annotation may have', () => {
    expect(refusal('{').code).toBe('ANNOTATION_MALFORMED');
    expect(refusal(`"${'x'.repeat(ANNOTATION_LIMIT_BYTES)}"`).code).toBe('ANNOTATION_MALFORMED');
  });

  test('names that mean something to JavaScript mean nothing here', () => {
    for (const name of ['__proto__', 'constructor', 'toString'])
      expect(
        refusal(JSON.stringify(good).replace('"smmu":"smmu3.0x0000000011000000"', `"smmu":"${name}"`)).code,
      ).toBe('ANNOTATION_MALFORMED');
  });

  function patchedSmmu(change: Record<string, unknown>): unknown {
    return { ...good, smmus: { [key]: { ...good.smmus[key], ...change } } };
  }
});

test('a code of a newer agent still stops the VM', () => {
  const text = JSON.stringify({
    version: 1,
    node: 'n',
    smmus: { s: { accel: 'impossible', code: 'HOST_OF_2030', because: 'b', remedy: 'r' } },
    groups: [{ smmu: 's', ats: 'silent' }],
    devices: { '0000:01:00.0': 0 },
  });
  const [obstacle] = [...parseAnnotation(text).features.devices.values()][0]!.smmu.obstacles;
  expect(obstacle).toEqual({ code: 'HW_INFO_UNKNOWN', message: 'b', remedy: 'r' });
});

const anyLimits = fc.record({
  ats: fc.boolean(),
  ril: fc.boolean(),
  ssidsize: fc.integer({ min: 0, max: 31 }),
  oas: fc.constantFrom(0, 32, 36, 40, 42, 44, 48, 52, 56),
  cmdqv: fc.option(fc.boolean(), { nil: undefined }),
});
const anyObstacle = fc.record({
  code: fc.constantFrom(...(Object.keys(ERROR_CODES) as ErrorCode[])),
  message: fc.string({ maxLength: 60 }),
  remedy: fc.string({ maxLength: 60 }),
});
const anyName = fc.option(fc.constantFrom('smmu3.0x1', 'smmu3.0x2', 'arm-smmu-v3.7'), { nil: undefined });
/** Limits may be missing only where an obstacle says why. */
const anySmmu = fc.oneof(
  fc.record({ name: anyName, limits: anyLimits, obstacles: fc.array(anyObstacle, { maxLength: 3 }) }),
  fc.record({
    name: anyName,
    limits: fc.constant(undefined),
    obstacles: fc.array(anyObstacle, { minLength: 1, maxLength: 3 }),
  }),
);
const anyDevice = fc.record({
  bdf: fc
    .tuple(fc.integer({ min: 0, max: 0xfffff }), fc.integer({ min: 0, max: 255 }))
    .map(([domain, bus]) => bdf(String(formatBdf(domain, bus, 0, 0)))),
  smmu: anySmmu,
  kernelAts: fc.constantFrom('supported' as const, 'not-supported' as const, 'silent' as const),
  atsCapability: fc.option(fc.boolean(), { nil: undefined }),
  numaNode: fc.option(fc.integer({ min: 0, max: 63 }), { nil: undefined }),
});
const anyHost = fc.array(anyDevice, { maxLength: 12 }).map((devices) => host(...devices));
const onOffAuto = fc.constantFrom<OnOffAuto>('on', 'off', 'auto');
const anyAsked: fc.Arbitrary<AskedVsmmu> = fc.record({
  accel: fc.boolean(),
  ats: onOffAuto,
  ril: onOffAuto,
  ssidsize: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 0, max: 21 })),
  oas: fc.constantFrom('auto' as const, 44, 48, 52),
  cmdqv: onOffAuto,
});

describe('round trip', () => {
  test('the annotation gives back every device as it was', () => {
    fc.assert(
      fc.property(anyHost, (features) => {
        const back = parseAnnotation(renderAnnotation(features, 'gpu-7'));
        expect(back.node).toBe('gpu-7');
        expect(back.features).toEqual(features);
      }),
    );
  });

  test('the rules resolve the same from the annotation as from the host', () => {
    fc.assert(
      fc.property(anyHost, anyAsked, onOffAuto, (features, asked, ats) => {
        const behind = (from: HostFeatures) =>
          [...from.devices.values()].map((one) => ({ features: one, ats, coldPlugged: true }));
        const fromAnnotation = parseAnnotation(renderAnnotation(features, 'gpu-7')).features;
        expect(resolveVsmmu(asked, behind(fromAnnotation))).toEqual(resolveVsmmu(asked, behind(features)));
      }),
    );
  });
});
