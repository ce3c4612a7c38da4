import * as z from 'zod';

import { VsmmuError } from '../errors.js';
import { HOOK_SIDECARS_ANNOTATION } from './annotations.js';

/** The container that KubeVirt starts beside a VM for us. */
export interface HookContainer {
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Arguments behind "hook", for all VMs of the cluster. */
  readonly args?: readonly string[];
}

const sidecarsSchema = z.array(z.looseObject({ image: z.string().nullish() }));

/**
 * The value of annotation `hooks.kubevirt.io/hookSidecars` with our container in it. A user's own sidecars stay,
 * in their order and byte for byte; ours comes last, so that its XML is what libvirt gets (the last hook's answer
 * is used verbatim). A container of ours with another tag, from a VMI that was exported, becomes the current one.
 *
 * @throws VsmmuError HOOK_SIDECARS_MALFORMED
 */
export function withHookSidecar(current: string | undefined, ours: HookContainer): string {
  const { image, imagePullPolicy } = ours;
  const entry = JSON.stringify({ image, imagePullPolicy, args: ['hook', ...(ours.args ?? [])] });
  if (current === undefined || current.trim() === '') return `[${entry}]`;

  const sidecars = parseSidecars(current);
  const index = sidecars.findIndex(
    ({ image }) => image != null && repository(image) === repository(ours.image),
  );
  const found = sidecars[index];
  if (found === undefined) {
    const end = current.lastIndexOf(']');
    return `${current.slice(0, end)}${sidecars.length === 0 ? '' : ','}${entry}${current.slice(end)}`;
  }
  if (found.image === ours.image) return current;
  return JSON.stringify(sidecars.with(index, { ...found, image: ours.image }));
}

/** Images of all sidecars a VMI names; undefined for one that leaves the choice to KubeVirt. */
export function sidecarImages(current: string | undefined): (string | undefined)[] {
  if (current === undefined || current.trim() === '') return [];
  return parseSidecars(current).map(({ image }) => (image === '' ? undefined : (image ?? undefined)));
}

function parseSidecars(current: string): z.output<typeof sidecarsSchema> {
  let json: unknown;
  try {
    json = JSON.parse(current);
  } catch (error) {
    throw malformed('it is not JSON', error);
  }
  const parsed = sidecarsSchema.safeParse(json);
  if (!parsed.success) throw malformed('it is not an array of objects');
  return parsed.data;
}

/** An image reference without tag and digest: a colon behind the last slash starts a tag, one before it a port. */
function repository(image: string): string {
  const [name = ''] = image.split('@');
  const tag = name.indexOf(':', name.lastIndexOf('/') + 1);
  return tag === -1 ? name : name.slice(0, tag);
}

function malformed(message: string, cause?: unknown): VsmmuError {
  return new VsmmuError('HOOK_SIDECARS_MALFORMED', message, {
    place: `metadata.annotations[${HOOK_SIDECARS_ANNOTATION}]`,
    remedy: 'Write it as a JSON array of sidecars, or leave it out.',
    cause,
  });
}
