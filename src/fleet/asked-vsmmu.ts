import type { YesNoUnknown } from '../smmu/answer.js';
import type { AskedVsmmu, OnOffAuto } from '../smmu/properties.js';
import type { BaselineStatus } from './baseline-object.js';
import type { EffectivePolicy } from './effective-policy.js';
import type { PolicyProperty } from './policy.js';

export type AskedByPolicy =
  | { readonly ok: true; readonly asked: AskedVsmmu }
  | { readonly ok: false; readonly message: string; readonly remedy: string };

/**
 * What the baseline says of devices' ATS, by model, for a VM that is bound to it. A VM whose ATS is to be the host's own
 * (`auto`) has its devices' of the host too.
 */
export function modelAts(
  { properties }: EffectivePolicy,
  baseline: Pick<BaselineStatus, 'devices'> | undefined,
): [string, YesNoUnknown][] {
  if (baseline === undefined || properties.ats.value === 'auto') return [];
  return baseline.devices.map(({ model, ats }) => [model, ats.value]);
}

/**
 * What a vSMMU of the VM asks for, with the baseline's values put in. What stays `auto` becomes the value of the
 * node that the VM starts on.
 *
 * @param baseline status of the Baseline that the policy names; undefined: there is none of that name
 */
export function askedByPolicy(
  { properties, baseline: bound }: EffectivePolicy,
  baseline: Pick<BaselineStatus, 'vsmmu'> | undefined,
): AskedByPolicy {
  const missing = (['ats', 'ril', 'ssidsize', 'oas', 'cmdqv'] as const).filter(
    (property) => properties[property].value === 'baseline',
  );
  if (missing.length > 0 && bound.value === undefined)
    return {
      ok: false,
      message: `${missing.join(', ')}: "baseline" is asked for, and no Baseline is named`,
      remedy: 'Name a Baseline in the policy or in the annotation vsmmu.io/baseline.',
    };
  if (missing.length > 0 && baseline?.vsmmu === undefined)
    return {
      ok: false,
      message: `Baseline ${bound.value ?? ''} ${baseline === undefined ? 'does not exist' : 'has no values: no node can take part'}`,
      remedy: 'Name one that has members; kubectl get baselines lists them.',
    };
  const { vsmmu } = baseline ?? {};
  const onOff = (property: Exclude<PolicyProperty, 'ssidsize' | 'oas'>): OnOffAuto => {
    const { value } = properties[property];
    if (value === 'baseline') return vsmmu?.[property].value ?? 'auto';
    return value === 'on' || value === 'off' ? value : 'auto';
  };
  const bits = (property: 'ssidsize' | 'oas'): number | 'auto' => {
    const { value } = properties[property];
    if (value === 'baseline') return vsmmu?.[property].value ?? 'auto';
    return typeof value === 'number' ? value : 'auto';
  };
  return {
    ok: true,
    asked: {
      accel: true,
      ats: onOff('ats'),
      ril: onOff('ril'),
      ssidsize: bits('ssidsize'),
      oas: bits('oas'),
      cmdqv: onOff('cmdqv'),
    },
  };
}
