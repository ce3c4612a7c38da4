import { expect, test } from '@jest/globals';

import { webhookRegistrations } from './registration.js';

const { mutating, validating } = webhookRegistrations({
  name: 'vsmmu',
  resources: ['vsmmu.io/', "it's.example/gpu"],
  onlyOurHook: '[{"image":"vsmmu:1"}]',
  excludedNamespaces: ['kube-system', 'vsmmu-system'],
  clientConfig: (path) => ({ service: { name: 'w', namespace: 'vsmmu-system', path } }),
});
const webhooks = [...mutating.webhooks, ...validating.webhooks] as Record<string, unknown>[];

test('each webhook is called for one operation, with conditions, never in its own namespace', () => {
  expect(
    webhooks.map(({ name, rules }) => [name, (rules as { operations: string[] }[])[0]?.operations]),
  ).toEqual([
    ['virtualmachineinstances.vsmmu.io', ['CREATE']],
    ['handover.vsmmu.io', ['UPDATE']],
    ['virtualmachineinstances.vsmmu.io', ['CREATE']],
    ['annotation.vsmmu.io', ['UPDATE']],
  ]);
  for (const { matchConditions, namespaceSelector, sideEffects } of webhooks) {
    expect(matchConditions).not.toEqual([]);
    expect(JSON.stringify(namespaceSelector)).toContain('"vsmmu-system"');
    expect(sideEffects).toBe('None');
  }
});

test('a status update is never lost for want of an answer; a forged annotation is never let pass for it', () => {
  expect(webhooks.map(({ failurePolicy }) => failurePolicy)).toEqual(['Fail', 'Ignore', 'Fail', 'Fail']);
});

test('most creations cause one call: the second is left out where nothing is left in doubt', () => {
  const [{ matchConditions }] = validating.webhooks as unknown as [
    { matchConditions: { name: string; expression: string }[] },
  ];
  const [, unsettled] = matchConditions;
  expect(unsettled?.name).toBe('not-settled');
  expect(unsettled?.expression).toContain(`!= '[{"image":"vsmmu:1"}]' ||`);
});

test('names reach the expressions as CEL text', () => {
  const [{ matchConditions }] = mutating.webhooks as unknown as [
    { matchConditions: { expression: string }[] },
  ];
  expect(matchConditions[0]?.expression).toContain("d.deviceName.startsWith('vsmmu.io/')");
  expect(matchConditions[0]?.expression).toContain("d.deviceName == 'it\\'s.example/gpu'");
});
