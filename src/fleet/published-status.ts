import type { BaselineStatus } from './baseline-object.js';
import type { KeptBaseline } from './keep-baseline.js';

const REASON_MAX = 1024;

/** A kept baseline in the words of the object's status; its conditions are another matter. */
export function publishedStatus({ baseline, leavingOut }: KeptBaseline): Omit<BaselineStatus, 'conditions'> {
  const { vsmmu, devices, members, excluded } = baseline;
  return {
    ...(vsmmu === null ? {} : { vsmmu: copyVsmmu(vsmmu) }),
    devices: Object.entries(devices).map(([model, { ats }]) => ({
      model,
      ats: { value: ats.value, limitedBy: [...ats.limitedBy] },
    })),
    members: [...members],
    excluded: excluded.map(({ name, reason }) => ({ name, reason: reason.slice(0, REASON_MAX) })),
    leavingOut: leavingOut.map(({ node, gains, losesModels }) => ({
      node,
      gains: [...gains],
      losesModels: [...losesModels],
    })),
  };
}

function copyVsmmu(
  vsmmu: NonNullable<KeptBaseline['baseline']['vsmmu']>,
): NonNullable<BaselineStatus['vsmmu']> {
  const copy = <T>({ value, limitedBy }: { readonly value: T; readonly limitedBy: readonly string[] }) => ({
    value,
    limitedBy: [...limitedBy],
  });
  return {
    ats: copy(vsmmu.ats),
    ril: copy(vsmmu.ril),
    ssidsize: copy(vsmmu.ssidsize),
    oas: copy(vsmmu.oas),
    cmdqv: copy(vsmmu.cmdqv),
  };
}
