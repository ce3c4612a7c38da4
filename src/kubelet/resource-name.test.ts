import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  collisionOf,
  environmentVariable,
  parseResourceName,
  resourceNameFault,
  socketName,
  VariableOwners,
} from './resource-name.js';

describe('names the kubelet takes', () => {
  test.each([
    'ex.com/A_b.c',
    `ex.com/${'a'.repeat(63)}`,
    'vsmmu.io/10de-2941-ats',
    'a/b',
    `${'a'.repeat(63)}.io/b`,
  ])('%s', (name) => {
    expect(resourceNameFault(name)).toBeUndefined();
  });
});

describe('names the kubelet refuses, as run against v1.36.2', () => {
  test.each([
    ['gpu', /no "\/"/],
    ['Ex.com/a', /lower-case DNS subdomain/],
    ['requests.ex.com/a', /reserved for quotas/],
    ['kubernetes.io/x', /reserved/],
    ['sub.kubernetes.io/x', /reserved/],
    [`ex.com/${'a'.repeat(64)}`, /longer than 63/],
    ['ex.com/-a', /must be letters/],
    ['ex.com/a-', /must be letters/],
    ['ex.com/', /must be letters/],
    ['/a', /DNS subdomain/],
    ['ex.com/a/b', /must be letters/],
    ['ex..com/a', /DNS subdomain/],
    [`${'a.'.repeat(122)}io/b`, /longer than 244/],
    ['ex.com/a b', /must be letters/],
  ])('%s', (name, reason) => {
    expect(resourceNameFault(name)).toMatch(reason);
    expect(() => parseResourceName(name)).toThrow(/The kubelet takes no resource named/);
  });
});

test.each([
  // Run through KubeVirt's own ResourceNameToEnvVar.
  ['example.com/GB200-ats.pasid_20', 'PCI_RESOURCE_EXAMPLE_COM_GB200-ATS_PASID_20'],
  ['vsmmu.io/10de-2941', 'PCI_RESOURCE_VSMMU_IO_10DE-2941'],
])('virt-launcher reads %s from %s', (name, variable) => {
  expect(environmentVariable(parseResourceName(name))).toBe(variable);
});

test.each([
  ['case', 'a.io/GPU', 'a.io/gpu'],
  ['a dot for an underscore', 'a.io/b.c', 'a.io/b_c'],
])('of names that become one variable by %s the first has it', (_, first, second) => {
  const [owner, rival] = [parseResourceName(first), parseResourceName(second)];
  const owners = new VariableOwners([owner]);
  expect(owners.rivalOf(rival)).toBe(owner);
  expect(owners.rivalOf(owner)).toBeUndefined();
  expect(collisionOf(rival, owner)).toContain('PCI_RESOURCE_A_IO_');
});

test('a name given twice is no collision with itself', () => {
  const owners = new VariableOwners();
  const names = ['a.io/b', 'a.io/b', 'a.io/b-c'].map((name) => parseResourceName(name));
  expect(names.map((name) => owners.rivalOf(name))).toEqual([undefined, undefined, undefined]);
});

test('socket names of different resources differ', () => {
  expect(socketName(parseResourceName('a/b-c'))).not.toBe(socketName(parseResourceName('a-b/c')));
});

test('names that the kubelet takes have sockets of their own, in one folder', () => {
  const name = fc
    .stringMatching(/^[a-c0-9.-]{1,24}\/[A-Ca-c0-9._-]{1,63}$/)
    .filter((text) => resourceNameFault(text) === undefined)
    .map((text) => parseResourceName(text));
  fc.assert(
    fc.property(name, name, (one, other) => {
      expect(socketName(one) === socketName(other)).toBe(one === other);
      expect(socketName(one)).not.toMatch(/[/\0]|^\.\.?$/);
      expect(socketName(one).length).toBeLessThanOrEqual(42);
    }),
  );
});
