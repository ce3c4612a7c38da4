import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { type KeepOptions, keepBaseline, loweredProperties } from '../src/fleet/keep-baseline.js';
import { baselineHostOf } from '../src/fleet/profile-host.js';
import type { BaselineHost, Limited } from '../src/smmu/baseline.js';
import { type NodeShape, profile } from './fleet-profiles.js';

const host = (name: string, shape: NodeShape = {}): BaselineHost => baselineHostOf(profile(name, shape));
const fresh: KeepOptions = { published: undefined, bound: [], holdBack: true };

const healthy = fc.record(
  {
    ats: fc.boolean(),
    ril: fc.boolean(),
    ssidsize: fc.integer({ min: 0, max: 20 }),
    oas: fc.constantFrom(44, 48, 52),
    cmdqv: fc.boolean(),
    devices: fc.array(
      fc.record({ model: fc.constantFrom('10de:2941', '15b3:1023', '144d:a826'), ready: fc.boolean() }),
      { maxLength: 3 },
    ),
  },
  { requiredKeys: ['devices'] },
);
const shape: fc.Arbitrary<NodeShape> = fc.oneof(
  { arbitrary: healthy, weight: 5 },
  { arbitrary: healthy.map((one) => ({ ...one, obstacle: 'fewer than 16 StreamID bits' })), weight: 1 },
);
const hosts = fc
  .array(shape, { minLength: 1, maxLength: 6 })
  .map((shapes) => shapes.map((one, index) => host(`n${index}`, one)));

describe('a kept baseline', () => {
  test('is what every member can honour, with who limits it', () => {
    const kept = keepBaseline([host('a'), host('b', { ssidsize: 16, ril: false })], fresh);
    expect(kept.baseline.vsmmu).toMatchObject({
      ats: { value: 'on', limitedBy: [] },
      ril: { value: 'off', limitedBy: ['b'] },
      ssidsize: { value: 16, limitedBy: ['b'] },
    });
  });

  test('says what leaving a node out would change', () => {
    const gpu = { model: '10de:2941' };
    const kept = keepBaseline(
      [
        host('a', { devices: [gpu] }),
        host('b', { ssidsize: 16, ril: false, devices: [gpu] }),
        host('c', { devices: [gpu, { model: '15b3:1023' }] }),
      ],
      fresh,
    );
    expect(kept.leavingOut).toEqual([
      { node: 'b', gains: ['ril off -> on', 'ssidsize 16 -> 20'], losesModels: [] },
      { node: 'c', gains: [], losesModels: ['15b3:1023'] },
    ]);
  });

  test('is held back under running VMs, and the node that would lower it is left out by name', () => {
    const published = keepBaseline([host('a'), host('b')], fresh).baseline.vsmmu ?? undefined;
    const kept = keepBaseline([host('a'), host('b', { ssidsize: 16 }), host('c', { ats: false })], {
      published,
      bound: ['shop/db-1'],
      holdBack: true,
    });
    expect(kept.heldBack).toEqual({ lowered: ['ats on -> off', 'ssidsize 20 -> 16'], by: ['shop/db-1'] });
    expect(kept.baseline.vsmmu).toMatchObject({ ats: { value: 'on' }, ssidsize: { value: 20 } });
    expect(kept.baseline.members).toEqual(['a']);
    expect(kept.baseline.excluded).toEqual([
      { name: 'b', reason: 'would lower the values of running VMs: ssidsize 20 -> 16' },
      { name: 'c', reason: 'would lower the values of running VMs: ats on -> off' },
    ]);
  });

  test.each<[string, Partial<KeepOptions>]>([
    ['no VM is bound to it', { bound: [] }],
    ['it is not to be held back', { holdBack: false }],
  ])('shrinks where %s', (_, options) => {
    const published = keepBaseline([host('a')], fresh).baseline.vsmmu ?? undefined;
    const kept = keepBaseline([host('a'), host('b', { ssidsize: 16 })], {
      published,
      bound: ['shop/db-1'],
      holdBack: true,
      ...options,
    });
    expect(kept.heldBack).toBeUndefined();
    expect(kept.baseline.vsmmu?.ssidsize).toEqual({ value: 16, limitedBy: ['b'] });
  });

  test('keeps its values where no member is left', () => {
    const published = keepBaseline([host('a')], fresh).baseline.vsmmu ?? undefined;
    const kept = keepBaseline([host('a', { obstacle: 'fewer than 16 StreamID bits' })], {
      published,
      bound: ['shop/db-1'],
      holdBack: true,
    });
    expect(kept.baseline).toMatchObject({ vsmmu: published, members: [] });
    expect(kept.baseline.excluded[0]?.reason).toContain('fewer than 16 StreamID bits');
  });
});

describe('laws', () => {
  test('it never exceeds a member', () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const { baseline } = keepBaseline(all, fresh);
        for (const member of all.filter(({ name }) => baseline.members.includes(name))) {
          const alone = keepBaseline([member], fresh).baseline.vsmmu;
          expect(baseline.vsmmu === null ? [] : loweredProperties(baseline.vsmmu, alone)).toEqual([]);
        }
      }),
    );
  });

  test('it does not depend on the order of nodes', () => {
    fc.assert(
      fc.property(hosts, fc.func(fc.integer()), (all, order) => {
        const shuffled = all.toSorted((a, b) => order(a.name) - order(b.name));
        expect(keepBaseline(shuffled, fresh)).toEqual(keepBaseline(all, fresh));
      }),
    );
  });

  test('a node more never raises it', () => {
    fc.assert(
      fc.property(hosts, shape, (all, more) => {
        const before = keepBaseline(all, fresh).baseline;
        const after = keepBaseline([...all, host('z', more)], fresh).baseline;
        if (before.vsmmu === null || after.vsmmu === null) return;
        expect(loweredProperties(after.vsmmu, before.vsmmu)).toEqual([]);
      }),
    );
  });

  test('every value that could be more names a member that limits it', () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const { baseline } = keepBaseline(all, fresh);
        const most = { ats: 'on', ril: 'on', ssidsize: 20, oas: 48, cmdqv: 'on' };
        for (const [property, limit] of Object.entries<Limited<string | number>>({ ...baseline.vsmmu })) {
          const isMost = limit.value === most[property as keyof typeof most];
          expect(limit.limitedBy.length === 0).toBe(isMost);
          expect(baseline.members).toEqual(expect.arrayContaining([...limit.limitedBy]));
        }
      }),
    );
  });

  test('what it promises for leaving a node out is what comes', () => {
    fc.assert(
      fc.property(hosts, (all) => {
        const { baseline, leavingOut } = keepBaseline(all, fresh);
        if (baseline.vsmmu === null || baseline.members.length < 2) return;
        for (const name of baseline.members) {
          const without = keepBaseline(
            all.filter((one) => one.name !== name),
            fresh,
          ).baseline.vsmmu;
          if (without === null) throw new Error('a member is left');
          const gains = loweredProperties(without, baseline.vsmmu).map((text) =>
            text.replace(/^(\S+) (\S+) -> (\S+)$/, '$1 $3 -> $2'),
          );
          expect(leavingOut.find(({ node }) => node === name)?.gains ?? []).toEqual(gains);
        }
      }),
    );
  });

  test('under running VMs no value gets lower and every member honours it', () => {
    fc.assert(
      fc.property(hosts, hosts, (before, after) => {
        const published = keepBaseline(before, fresh).baseline.vsmmu;
        if (published === null) return;
        const kept = keepBaseline(after, { published, bound: ['shop/db-1'], holdBack: true }).baseline;
        expect(loweredProperties(published, kept.vsmmu)).toEqual([]);
        for (const member of after.filter(({ name }) => kept.members.includes(name)))
          expect(loweredProperties(published, keepBaseline([member], fresh).baseline.vsmmu)).toEqual([]);
      }),
    );
  });
});
