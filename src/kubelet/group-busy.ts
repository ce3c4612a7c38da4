import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bdf } from '../bdf.js';
import { errnoOf, VsmmuError } from '../errors.js';

/** Has some process this VFIO group's node open? false also where that can't be told. */
export type BusyCheck = (groupNode: string) => boolean;

/**
 * The kernel lets one opener of a group in at a time (drivers/vfio/group.c, vfio_group_fops_open: EBUSY). Opening it
 * does nothing to its devices. An agent that may not open device nodes (EPERM) can't tell.
 */
export function isGroupBusy(groupNode: string, open = openSync): boolean {
  try {
    closeSync(open(groupNode, constants.O_RDWR | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    return errnoOf(error) === 'EBUSY';
  }
}

/** A probe may be asking a device of the group just now; it is done within these, ms. */
const PATIENCE_MS = [50, 200] as const;

/**
 * What nobody here handed out may be in use all the same: by a VM outside of Kubernetes, or by one whose pod was
 * deleted by force.
 *
 * @throws VsmmuError DEVICE_BUSY
 */
export async function refuseBusyGroup(bdf: Bdf, groupNode: string, isBusy: BusyCheck): Promise<void> {
  for (const ms of PATIENCE_MS) {
    if (!isBusy(groupNode)) return;
    await sleep(ms);
  }
  if (!isBusy(groupNode)) return;
  throw new VsmmuError(
    'DEVICE_BUSY',
    `A process that this node's kubelet knows nothing of uses ${groupNode}.`,
    {
      place: bdf,
      remedy: `See which ("fuser -v ${groupNode}") and end it.`,
    },
  );
}
