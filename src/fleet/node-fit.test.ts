import { describe, expect, test } from '@jest/globals';

import { profile } from '../../test/fleet-profiles.js';
import { ALL_AUTO } from '../smmu/properties.js';
import { fitNode, type NodeFacts } from './node-fit.js';

const GPU = 'vsmmu.io/10de-2941-ats';
const OWN = 'nvidia.com/GB200';
const capacity = (counts: Readonly<Record<string, number>>): NodeFacts => ({
  capacity: new Map(Object.entries(counts)),
});
const fit = (resources: readonly string[], facts: NodeFacts = {}, devices = [{}, {}]) =>
  fitNode(profile('a', { devices }), { resources, asked: ALL_AUTO }, facts);

describe('does a VMI fit on a node', () => {
  test.each<[string, readonly string[], NodeFacts, string, RegExp]>([
    ['enough devices of the name', [GPU, GPU], {}, 'yes', /^$/],
    ['too few', [GPU, GPU, GPU], {}, 'no', /it has 2 of 3/],
    ['as many as the kubelet has', [GPU], capacity({ [GPU]: 1 }), 'yes', /^$/],
    ['fewer at the kubelet than in the profile', [GPU, GPU], capacity({ [GPU]: 1 }), 'no', /it has 1 of 2/],
    ['a name that this node does not use', [GPU], capacity({ [OWN]: 2 }), 'no', /it has 0 of 1/],
    [
      'a configured name, of which the kubelet has enough',
      [OWN],
      capacity({ [OWN]: 2 }),
      'partly',
      /profiles do not tell/,
    ],
    ['a configured name, of which nothing is known', [OWN], {}, 'partly', /profiles do not tell/],
    ['a configured name that the kubelet has none of', [OWN], capacity({}), 'no', /it has 0 of 1 nvidia/],
    ['barred by something else', [GPU], { barred: ['no member'] }, 'no', /no member/],
  ])('%s', (_, resources, facts, fits, reasons) => {
    const outcome = fit(resources, facts);
    expect(outcome.fits).toBe(fits);
    expect(outcome.reasons.join()).toMatch(reasons);
  });

  test.each([
    ['unknown', 'auto'],
    ['yes', 'on'],
    ['no', 'off'],
  ] as const)('a device of unknown ATS that counts as %s gets ats=%s', (unknownAts, ats) => {
    const node = profile('a', { devices: [{ ats: 'unknown' }] });
    const { smmus } = fitNode(node, { resources: ['vsmmu.io/10de-2941'], asked: ALL_AUTO, unknownAts });
    expect(smmus[0]?.devices).toEqual([{ bdf: '0009:01:00.0', ats }]);
  });
});
