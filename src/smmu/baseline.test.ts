import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import type { YesNoUnknown } from './answer.js';
import { type Baseline, type BaselineHost, baselineOf } from './baseline.js';
import type { SmmuFeatures, SmmuLimits } from './features.js';

const strong: SmmuLimits = { ats: true, ril: true, ssidsize: 20, oas: 48, cmdqv: true };

function smmu(limits: Partial<SmmuLimits> = {}): SmmuFeatures {
  return { name: 'smmu3.0x1', limits: { ...strong, ...limits }, obstacles: [] };
}

function host(name: string, limits: Partial<SmmuLimits> = {}, ats: YesNoUnknown = 'yes'): BaselineHost {
  return { name, smmus: [smmu(limits)], devices: [{ model: '10de:2941', effectiveAts: ats }] };
}

const broken: BaselineHost = {
  name: 'old',
  smmus: [
    {
      name: 'smmu3.0x2',
      limits: { ...strong, oas: 42 },
      obstacles: [{ code: 'HOST_OAS', message: 'IDR5.OAS is 42 bits', remedy: '-' }],
    },
  ],
  devices: [],
};

describe('baselineOf', () => {
  test('equal hosts limit nothing', () => {
    expect(baselineOf([host('a'), host('b')])).toEqual({
      vsmmu: {
        ats: { value: 'on', limitedBy: [] },
        ril: { value: 'on', limitedBy: [] },
        ssidsize: { value: 20, limitedBy: [] },
        oas: { value: 48, limitedBy: [] },
        cmdqv: { value: 'on', limitedBy: [] },
      },
      devices: { '10de:2941': { ats: { value: 'yes', limitedBy: [] } } },
      members: ['a', 'b'],
      excluded: [],
    });
  });

  test.each<[string, Partial<SmmuLimits>, keyof NonNullable<Baseline['vsmmu']>, 'off' | number]>([
    ['no ATS', { ats: false }, 'ats', 'off'],
    ['no range invalidation', { ril: false }, 'ril', 'off'],
    ['16 substream id bits', { ssidsize: 16 }, 'ssidsize', 16],
    ['44 address bits', { oas: 44 }, 'oas', 44],
    ['CMDQV not known', { cmdqv: undefined }, 'cmdqv', 'off'],
  ])('%s on one host is the value, and names the host', (_name, limits, property, value) => {
    const baseline = baselineOf([host('a'), host('b', limits), host('c')]);
    expect(baseline.vsmmu?.[property]).toEqual({ value, limitedBy: ['b'] });
  });

  test('a host counts with the least of its SMMUs', () => {
    const two: BaselineHost = { name: 'two', smmus: [smmu(), smmu({ ssidsize: 8 })], devices: [] };
    expect(baselineOf([two, host('a')]).vsmmu?.ssidsize).toEqual({ value: 8, limitedBy: ['two'] });
  });

  test('a host that cannot run accel is left out by name and limits nothing', () => {
    const baseline = baselineOf([host('a'), broken, { name: 'none', smmus: [], devices: [] }]);
    expect(baseline.members).toEqual(['a']);
    expect(baseline.vsmmu?.oas.value).toBe(48);
    expect(baseline.excluded).toEqual([
      { name: 'none', reason: 'no SMMUv3 is in front of a passthrough device' },
      { name: 'old', reason: 'smmu3.0x2: IDR5.OAS is 42 bits' },
    ]);
  });

  test('without a member there is no vSMMU', () => {
    expect(baselineOf([broken]).vsmmu).toBeNull();
  });

  test.each<[string, readonly YesNoUnknown[], YesNoUnknown, readonly string[]]>([
    ['all yes', ['yes', 'yes'], 'yes', []],
    ['one no', ['yes', 'no', 'unknown'], 'no', ['h1']],
    ['one unknown', ['unknown', 'yes'], 'unknown', ['h0']],
  ])('ATS of a model: %s', (_name, answers, value, limitedBy) => {
    const baseline = baselineOf(answers.map((ats, index) => host(`h${index}`, {}, ats)));
    expect(baseline.devices['10de:2941']).toEqual({ ats: { value, limitedBy } });
  });
});

describe('laws', () => {
  const limitsArbitrary = fc.record({
    ats: fc.boolean(),
    ril: fc.boolean(),
    ssidsize: fc.integer({ min: 0, max: 20 }),
    oas: fc.constantFrom(44, 48, 52),
    cmdqv: fc.constantFrom(true, false, undefined),
  });
  const hostsArbitrary = fc
    .array(limitsArbitrary, { minLength: 1, maxLength: 6 })
    .map((all) => all.map((limits, index) => host(`node${index}`, limits)));

  const rank = (value: string | number) => (typeof value === 'number' ? value : Number(value === 'on'));
  const properties = ['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const;

  test('never exceeds a member, and names who limits it', () => {
    fc.assert(
      fc.property(hostsArbitrary, (hosts) => {
        const { vsmmu } = baselineOf(hosts);
        for (const one of hosts) {
          const own = baselineOf([one]).vsmmu;
          for (const key of properties)
            expect(rank(vsmmu![key].value)).toBeLessThanOrEqual(rank(own![key].value));
        }
        for (const key of properties) {
          const best = { ats: 1, ril: 1, cmdqv: 1, ssidsize: 20, oas: 48 }[key];
          expect(vsmmu![key].limitedBy.length > 0).toBe(rank(vsmmu![key].value) < best);
        }
      }),
    );
  });

  test('does not depend on the order of hosts', () => {
    fc.assert(
      fc.property(hostsArbitrary, (hosts) => {
        expect(baselineOf(hosts.toReversed())).toEqual(baselineOf(hosts));
      }),
    );
  });

  test('another host never raises it', () => {
    fc.assert(
      fc.property(hostsArbitrary, limitsArbitrary, (hosts, limits) => {
        const before = baselineOf(hosts).vsmmu;
        const after = baselineOf([...hosts, host('more', limits)]).vsmmu;
        for (const key of properties)
          expect(rank(after![key].value)).toBeLessThanOrEqual(rank(before![key].value));
      }),
    );
  });
});
