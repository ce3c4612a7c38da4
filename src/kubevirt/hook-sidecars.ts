import { isDeepStrictEqual } from 'node:util';

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
type Sidecar = z.output<typeof sidecarsSchema>[number];

/** Our container as it stands in the annotation; the field order is the chart's policy's too. */
function entryOf({ image, imagePullPolicy, args = [] }: HookContainer): Sidecar {
  return { image, imagePullPolicy, args: ['hook', ...args] };
}

/** The annotation's value where no other sidecar is named. */
export function onlyHookSidecar(ours: HookContainer): string {
  return JSON.stringify([entryOf(ours)]);
}

/**
 * The value of annotation `hooks.kubevirt.io/hookSidecars` with our container in it. A user's own sidecars stay,
 * in their order, and byte for byte unless one of them claims to be ours; ours comes last, so that its XML is what
 * libvirt gets (the last hook's answer is used verbatim). An entry with our image is ours to write: of another tag,
 * from a VMI that was exported, or with a command, arguments or volumes of somebody else's choice, it gives way.
 *
 * @throws VsmmuError HOOK_SIDECARS_MALFORMED
 */
export function withHookSidecar(current: string | undefined, ours: HookContainer): string {
  if (current === undefined || current.trim() === '') return onlyHookSidecar(ours);
  const sidecars = parseSidecars(current);
  const others = sidecars.filter(
    ({ image }) => image == null || repository(image) !== repository(ours.image),
  );
  const entry = entryOf(ours);
  if (others.length === 0) return onlyHookSidecar(ours);
  if (sidecars.length === others.length) {
    const end = current.lastIndexOf(']');
    return `${current.slice(0, end)},${JSON.stringify(entry)}${current.slice(end)}`;
  }
  if (sidecars.length === others.length + 1 && isDeepStrictEqual(sidecars.at(-1), entry)) return current;
  return JSON.stringify([...others, entry]);
}

/** A sidecar that is not ours, by its place in the annotation. */
export interface ForeignSidecar {
  readonly index: number;
  /** undefined: KubeVirt's own choice. */
  readonly image: string | undefined;
}

/** Sidecars beside ours, and ours. */
export interface SidecarCheck {
  readonly foreign: readonly ForeignSidecar[];
  /** Arguments of ours behind those of all hooks; undefined: it is not there. */
  readonly ours: readonly string[] | undefined;
}

/** What a policy adds to our hook's arguments (src/fleet/policy-for-vmi.ts). */
const POLICY_ARGUMENT = /^--(topology|unresolvable|unknown-ats)=[a-z]+$/;

/**
 * Ours is an entry of exactly our fields: KubeVirt's Go reads keys in whatever case, so that an "Image" beside our
 * "image" would win there, and a command or a volume would make another program of it.
 *
 * @param before what followed our hook's arguments until now, and has to stay; undefined: whatever policies add may
 * @throws VsmmuError HOOK_SIDECARS_MALFORMED
 */
export function checkSidecars(
  current: string | undefined,
  hook: HookContainer,
  before?: readonly string[],
): SidecarCheck {
  const sidecars = current === undefined || current.trim() === '' ? [] : parseSidecars(current);
  const checked = sidecars.map((sidecar, index) => ({
    index,
    image: sidecar.image || undefined,
    added: addedArguments(sidecar, hook),
  }));
  const isOurs = ({ added }: (typeof checked)[number]) =>
    added !== undefined &&
    (before === undefined
      ? added.every((one) => POLICY_ARGUMENT.test(one))
      : isDeepStrictEqual(added, before));
  return {
    foreign: checked.filter((one) => !isOurs(one)).map(({ index, image }) => ({ index, image })),
    ours: checked.find(isOurs)?.added,
  };
}

/** Arguments behind our hook's own; undefined: the entry is not our hook in every other respect. */
function addedArguments(sidecar: Sidecar, hook: HookContainer): readonly string[] | undefined {
  const entry = entryOf(hook);
  const args = entry['args'] as readonly string[];
  const given: unknown = sidecar['args'];
  if (!Array.isArray(given) || !given.every((one) => typeof one === 'string')) return undefined;
  const isHook =
    isDeepStrictEqual({ ...sidecar, args }, entry) && isDeepStrictEqual(given.slice(0, args.length), args);
  return isHook ? given.slice(args.length) : undefined;
}

function parseSidecars(current: string): Sidecar[] {
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
