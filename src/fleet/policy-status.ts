import type { BaselineStatus } from './baseline-object.js';
import { type NewCondition, settled } from './conditions.js';
import { type Policy, POLICY_PROPERTIES } from './policy.js';
import type { PolicyObject, PolicyStatus } from './policy-object.js';

type Baselines = ReadonlyMap<string, Pick<BaselineStatus, 'vsmmu'>>;

/**
 * What the status should be: can VMIs get what the policy says? How many it applies to is not told, since that would
 * be written anew with each VM that starts.
 */
export function nextPolicyStatus(policy: PolicyObject, baselines: Baselines, now: string): PolicyStatus {
  const { generation, status } = policy;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    conditions: settled([readyCondition(policy, baselines)], status.conditions, { now, generation }),
  };
}

function readyCondition(policy: Policy, baselines: Baselines): NewCondition {
  const notReady = (reason: string, message: string) =>
    ({ type: 'Ready', status: 'False', reason, message }) as const;
  const { baseline, topology, onUnresolved } = policy;
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Applied',
    message: 'new VMIs get what it says',
  } as const;
  if (topology === 'off') return { ...ready, message: 'new VMIs are left alone' };
  const then =
    onUnresolved === 'leave'
      ? 'VMIs that want its values are left alone'
      : 'VMIs that want its values are refused';
  if (baseline !== undefined && !baselines.has(baseline))
    return notReady('BaselineMissing', `there is no Baseline ${baseline}: ${then}`);
  if (baseline !== undefined && baselines.get(baseline)?.vsmmu === undefined)
    return notReady('BaselineEmpty', `Baseline ${baseline} has no member: ${then}`);
  const wanting = POLICY_PROPERTIES.filter((property) => policy.properties[property] === 'baseline');
  if (baseline === undefined && wanting.length > 0)
    return {
      ...ready,
      reason: 'BaselineElsewhere',
      message: `${wanting.join(', ')} come from the Baseline that a VMI or another policy names`,
    };
  return ready;
}
