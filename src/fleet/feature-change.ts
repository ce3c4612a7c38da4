import type { NodeProfile } from '../cluster/node-profile.js';
import { baselineOf } from '../smmu/baseline.js';
import { POLICY_PROPERTIES } from './policy.js';
import { baselineHostOf } from './profile-host.js';

/** What changed of a node that a VM could notice, in words; empty where nothing did. */
export function featureChanges(before: NodeProfile, after: NodeProfile): string[] {
  if (before.annotation === after.annotation && sameDevices(before, after)) return [];
  const [old, now] = [before, after].map((profile) => baselineOf([baselineHostOf(profile)]).vsmmu);
  const properties = POLICY_PROPERTIES.flatMap((property) => {
    const [was, is] = [old?.[property].value ?? 'none', now?.[property].value ?? 'none'];
    return was === is ? [] : [`${property} ${was} -> ${is}`];
  });
  const devices = [...new Set([...before.devices.keys(), ...after.devices.keys()])].flatMap((bdf) => {
    const [was, is] = [before.devices.get(bdf), after.devices.get(bdf)];
    if (was === undefined) return [`${bdf} appeared`];
    if (is === undefined) return [`${bdf} is gone`];
    return was.ats === is.ats ? [] : [`${bdf}: ATS ${was.ats} -> ${is.ats}`];
  });
  return [...properties, ...devices];
}

function sameDevices(before: NodeProfile, after: NodeProfile): boolean {
  if (before.devices.size !== after.devices.size) return false;
  return [...before.devices].every(([bdf, device]) => after.devices.get(bdf)?.ats === device.ats);
}
