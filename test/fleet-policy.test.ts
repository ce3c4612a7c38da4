import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { askedByPolicy } from '../src/fleet/asked-vsmmu.js';
import { effectivePolicy, type PolicySubject } from '../src/fleet/effective-policy.js';
import { mismatch } from '../src/fleet/label-selector.js';
import { parsePolicy, type Policy } from '../src/fleet/policy.js';

const policy = (name: string, spec: Readonly<Record<string, unknown>>): Policy =>
  parsePolicy({ metadata: { name }, spec });

const subject: PolicySubject = {
  namespaceLabels: { team: 'ml' },
  vmiLabels: { app: 'train' },
  resources: ['vsmmu.io/10de-2941-ats'],
};
const byDevice = { devices: { resources: ['vsmmu.io/'] } };
const byVmi = { vmiSelector: { matchLabels: { app: 'train' } } };
const byNamespace = { namespaceSelector: { matchLabels: { team: 'ml' } } };

describe('which policy decides', () => {
  const cases: readonly [string, readonly Policy[], string, string][] = [
    ['none: the default', [], 'auto', 'default'],
    ['the only one', [policy('a', { properties: { ats: 'off' } })], 'off', 'Policy a'],
    [
      'higher priority before narrower',
      [
        policy('broad', { priority: 5, properties: { ats: 'off' } }),
        policy('narrow', { priority: 4, ...byDevice, ...byVmi, ...byNamespace, properties: { ats: 'on' } }),
      ],
      'off',
      'Policy broad',
    ],
    [
      'devices before VMIs',
      [
        policy('a-vmi', { ...byVmi, properties: { ats: 'off' } }),
        policy('b-device', { ...byDevice, properties: { ats: 'on' } }),
      ],
      'on',
      'Policy b-device',
    ],
    [
      'devices before VMIs and namespaces together',
      [
        policy('a', { ...byVmi, ...byNamespace, properties: { ats: 'off' } }),
        policy('b', { ...byDevice, properties: { ats: 'on' } }),
      ],
      'on',
      'Policy b',
    ],
    [
      'VMIs before namespaces',
      [
        policy('a', { ...byNamespace, properties: { ats: 'off' } }),
        policy('b', { ...byVmi, properties: { ats: 'on' } }),
      ],
      'on',
      'Policy b',
    ],
    [
      'namespaces before everything',
      [
        policy('a', { properties: { ats: 'off' } }),
        policy('b', { ...byNamespace, properties: { ats: 'on' } }),
      ],
      'on',
      'Policy b',
    ],
    [
      'equal rank: by name',
      [policy('b', { properties: { ats: 'on' } }), policy('a', { properties: { ats: 'off' } })],
      'off',
      'Policy a',
    ],
    [
      'one that sets nothing of it is passed over',
      [policy('a', { priority: 9, properties: { ril: 'off' } }), policy('b', { properties: { ats: 'off' } })],
      'off',
      'Policy b',
    ],
    [
      'one that does not apply is passed over',
      [
        policy('a', { priority: 9, vmiSelector: { matchLabels: { app: 'web' } }, properties: { ats: 'on' } }),
        policy('b', { properties: { ats: 'off' } }),
      ],
      'off',
      'Policy b',
    ],
  ];
  test.each(cases)('%s', (_, policies, value, from) => {
    expect(effectivePolicy(policies, subject).properties.ats).toEqual({ value, from });
  });

  test('each field comes from the first that sets it', () => {
    const effective = effectivePolicy(
      [
        policy('high', { priority: 2, properties: { ats: 'off' }, onUnresolved: 'leave' }),
        policy('low', { priority: 1, properties: { ats: 'on', ssidsize: 16 }, topology: 'complete' }),
      ],
      subject,
    );
    expect(effective.properties.ats).toEqual({ value: 'off', from: 'Policy high' });
    expect(effective.properties.ssidsize).toEqual({ value: 16, from: 'Policy low' });
    expect(effective.topology).toEqual({ value: 'complete', from: 'Policy low' });
    expect(effective.onUnresolved).toEqual({ value: 'leave', from: 'Policy high' });
    expect(effective.unknownAts).toEqual({ value: 'unknown', from: 'default' });
  });

  test('a policy that does not apply says which selector it is', () => {
    const { verdicts } = effectivePolicy(
      [
        policy('vmi', { vmiSelector: { matchLabels: { app: 'web' } }, topology: 'off' }),
        policy('device', { devices: { resources: ['example.com/nic'] }, topology: 'off' }),
        policy('namespace', {
          namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['ml'] }] },
          topology: 'off',
        }),
      ],
      subject,
    );
    expect(verdicts.map(({ name, applies, because }) => [name, applies, because])).toEqual([
      ['device', false, 'devices: the VMI asks for none of example.com/nic'],
      ['namespace', false, 'namespaceSelector: label team is "ml", wanted: NotIn ml'],
      ['vmi', false, 'vmiSelector: label app is "train", not web'],
    ]);
  });

  test('the order of policies does not matter', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
    const spec = fc.record({
      priority: fc.integer({ min: 0, max: 2 }),
      properties: fc.record({ ats: fc.constantFrom('on', 'off', 'auto') }, { requiredKeys: [] }),
      vmiSelector: fc.constantFrom({}, { matchLabels: { app: 'train' } }, { matchLabels: { app: 'web' } }),
    });
    const policies = fc.uniqueArray(fc.tuple(name, spec), { selector: ([one]) => one, maxLength: 6 });
    fc.assert(
      fc.property(policies, fc.func(fc.integer()), (all, order) => {
        const parsed = all.map(([one, body]) => policy(one, body));
        const shuffled = parsed.toSorted((a, b) => order(a.name) - order(b.name));
        expect(effectivePolicy(shuffled, subject)).toEqual(effectivePolicy(parsed, subject));
      }),
    );
  });
});

describe('baselines in policies', () => {
  const limited = <T>(value: T) => ({ value, limitedBy: [] });
  const vsmmu = {
    ats: limited('off' as const),
    ril: limited('on' as const),
    ssidsize: limited(16),
    oas: limited(44),
    cmdqv: limited('off' as const),
  };

  test('a bound VMI gets every value of the baseline but those a policy sets', () => {
    const effective = effectivePolicy(
      [policy('a', { baseline: 'gold', properties: { oas: 48, ril: 'auto' } })],
      subject,
    );
    expect(askedByPolicy(effective, { vsmmu })).toEqual({
      ok: true,
      asked: { accel: true, ats: 'off', ril: 'auto', ssidsize: 16, oas: 48, cmdqv: 'off' },
    });
  });

  test("the VMI's annotation wins over a policy", () => {
    const effective = effectivePolicy([policy('a', { priority: 1000, baseline: 'gold' })], {
      ...subject,
      baseline: 'silver',
    });
    expect(effective.baseline).toEqual({ value: 'silver', from: 'annotation vsmmu.io/baseline' });
  });

  test.each<[string, Readonly<Record<string, unknown>>, Parameters<typeof askedByPolicy>[1], string]>([
    ['no baseline is named', { properties: { ats: 'baseline' } }, undefined, 'no Baseline is named'],
    ['it does not exist', { baseline: 'gold' }, undefined, 'Baseline gold does not exist'],
    ['it has no members', { baseline: 'gold' }, {}, 'Baseline gold has no values'],
  ])('%s: told, not guessed', (_, spec, status, message) => {
    const asked = askedByPolicy(effectivePolicy([policy('a', spec)], subject), status);
    expect(asked).toMatchObject({ ok: false });
    expect(asked.ok ? '' : asked.message).toContain(message);
  });

  test('a baseline without values is no trouble where none is asked for', () => {
    const spec = {
      baseline: 'gold',
      properties: { ats: 'off', ril: 'on', ssidsize: 0, oas: 44, cmdqv: 'off' },
    };
    expect(askedByPolicy(effectivePolicy([policy('a', spec)], subject), {})).toMatchObject({ ok: true });
  });
});

describe('what is no policy', () => {
  test.each<[string, Readonly<Record<string, unknown>>, string]>([
    ['a boolean, as YAML 1.1 reads a bare on', { properties: { ats: true } }, 'spec.properties.ats'],
    ['an oas that no vSMMU has', { properties: { oas: 46 } }, 'spec.properties.oas'],
    ['too many substream ids', { properties: { ssidsize: 21 } }, 'spec.properties.ssidsize'],
    ['an unknown topology', { topology: 'maybe' }, 'spec.topology'],
    ['a priority above 1000', { priority: 1001 }, 'spec.priority'],
  ])('%s', (_, spec, place) => {
    expect(() => policy('a', spec)).toThrow(
      expect.objectContaining({ code: 'POLICY_MALFORMED', place: `Policy a: ${place}` }),
    );
  });
});

describe('label selectors', () => {
  const labels = { zone: 'a', gpu: '' };
  test.each<[string, Parameters<typeof mismatch>[0], boolean]>([
    ['empty', {}, true],
    ['equal', { matchLabels: { zone: 'a' } }, true],
    ['different', { matchLabels: { zone: 'b' } }, false],
    ['missing', { matchLabels: { rack: '1' } }, false],
    ['an empty value is a value', { matchLabels: { gpu: '' } }, true],
    ['In', { matchExpressions: [{ key: 'zone', operator: 'In', values: ['b', 'a'] }] }, true],
    ['In, missing', { matchExpressions: [{ key: 'rack', operator: 'In', values: [''] }] }, false],
    ['NotIn', { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] }, false],
    ['NotIn, missing', { matchExpressions: [{ key: 'rack', operator: 'NotIn', values: ['1'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'gpu', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'gpu', operator: 'DoesNotExist' }] }, false],
    [
      'all parts must hold',
      { matchLabels: { zone: 'a' }, matchExpressions: [{ key: 'rack', operator: 'Exists' }] },
      false,
    ],
  ])('%s', (_, selector, selected) => {
    expect(mismatch(selector, labels) === undefined).toBe(selected);
  });
});
