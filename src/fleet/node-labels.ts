import { baselineOf } from '../smmu/baseline.js';
import { memberLabel } from './baseline-object.js';
import type { Labels } from './label-selector.js';
import { baselineHostOf } from './profile-host.js';
import type { NodeProfile } from '../cluster/node-profile.js';

const PREFIX = 'vsmmu.io/';
const BASELINE_PREFIX = memberLabel('');
/** Every label that the controller gives beside those of baselines; all of them, so that it can take them away. */
export const LABEL_KEYS = ['accel', 'ats', 'ril', 'ssidsize', 'oas', 'cmdqv', 'profile'].map(
  (key) => `${PREFIX}${key}`,
);

/**
 * Labels of a node, for selectors of people: with the least of its usable SMMUs, as in a baseline of this node alone.
 *
 * @param baselines names of the baselines that it is a member of
 */
export function labelsOf(
  profile: NodeProfile,
  baselines: readonly string[],
  stale: boolean,
): Readonly<Record<string, string>> {
  const { vsmmu } = baselineOf([baselineHostOf(profile)]);
  const values =
    vsmmu === null
      ? { accel: 'off' }
      : {
          accel: 'on',
          ats: vsmmu.ats.value,
          ril: vsmmu.ril.value,
          ssidsize: `${vsmmu.ssidsize.value}`,
          oas: `${vsmmu.oas.value}`,
          cmdqv: vsmmu.cmdqv.value,
        };
  const labels: Record<string, string> = { [`${PREFIX}profile`]: stale ? 'stale' : 'current' };
  for (const [key, value] of Object.entries(values)) labels[`${PREFIX}${key}`] = value;
  for (const name of baselines) labels[memberLabel(name)] = 'member';
  return labels;
}

/** A merge patch from the labels that are there to the ones wanted; undefined where nothing is to change. */
export function labelPatch(
  present: Labels,
  wanted: Labels,
): Readonly<Record<string, string | null>> | undefined {
  const ours = Object.keys(present).filter(
    (key) => LABEL_KEYS.includes(key) || key.startsWith(BASELINE_PREFIX),
  );
  const changes: Record<string, string | null> = {};
  for (const [key, value] of Object.entries(wanted)) if (present[key] !== value) changes[key] = value;
  for (const key of ours) if (wanted[key] === undefined) changes[key] = null;
  return Object.keys(changes).length === 0 ? undefined : changes;
}
