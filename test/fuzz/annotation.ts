import assert from 'node:assert/strict';

import { parseWishes } from '../../src/domain/wishes.js';
import { withHookSidecar } from '../../src/kubevirt/hook-sidecars.js';
import { parseRequire } from '../../src/kubevirt/require.js';
import { parseAnnotation } from '../../src/kubevirt/read-resolved.js';
import { renderAnnotation } from '../../src/kubevirt/write-resolved.js';
import { Input } from './input.js';
import { resultOrRefusal } from './refusal.js';

const OURS = { image: 'registry.example/vsmmu:1', imagePullPolicy: 'Never' } as const;

/**
 * The texts of the annotations that vsmmu reads. What was read is written so that it is read as the same again; ranges
 * hold; and our sidecar among others is there once, theirs stay.
 */
export function fuzz(data: Uint8Array): void {
  const input = new Input(data);
  const read = input.pick([resolved, require, set, sidecars]);
  read(input.text());
}

function resolved(text: string): void {
  const outcome = resultOrRefusal(() => parseAnnotation(text));
  if ('refused' in outcome) return;
  const { node, features } = outcome.value;
  const written = renderAnnotation(features, node);
  const again = parseAnnotation(written);
  assert.equal(again.node, node);
  assert.deepEqual([...again.features.devices.keys()], [...features.devices.keys()]);
  for (const [bdf, device] of features.devices) {
    assert.equal(spelled(again.features.devices.get(bdf)), spelled(device));
    const { limits, obstacles } = device.smmu;
    assert.ok(limits === undefined || (limits.ssidsize <= 31 && limits.oas <= 64));
    assert.ok(limits !== undefined || obstacles.length > 0, 'without limits there is a reason');
  }
  assert.equal(renderAnnotation(again.features, node), written, 'written the same again');
}

/** As JSON writes it, to which -0 is 0. */
function spelled(value: unknown): string {
  return JSON.stringify(value);
}

function require(text: string): void {
  const outcome = resultOrRefusal(() => parseRequire(text));
  if ('refused' in outcome) return;
  for (const { label, operator, value } of outcome.value) {
    assert.match(label, /^vsmmu\.io\/(accel|ats|ril|cmdqv|ssidsize|oas)$/);
    assert.match(value, operator === 'In' ? /^on$/ : /^\d{1,2}$/);
  }
}

function set(text: string): void {
  const outcome = resultOrRefusal(() => parseWishes([text]));
  if ('refused' in outcome) return;
  const { vsmmu, deviceAts, atsOf } = outcome.value;
  const written = [
    ...Object.entries(vsmmu).map(([name, value]) => `${name}=${value}`),
    ...(deviceAts === undefined ? [] : [`device.ats=${deviceAts}`]),
    ...[...atsOf].map(([bdf, value]) => `${bdf}.ats=${value}`),
  ];
  for (const value of Object.values(vsmmu)) assert.match(value, /^(on|off|auto|\d{1,2})$/);
  assert.deepEqual(parseWishes(written), outcome.value, 'written out, they are the same wishes');
}

function sidecars(text: string): void {
  const outcome = resultOrRefusal(() => withHookSidecar(text, OURS));
  if ('refused' in outcome) return;
  const { value: written } = outcome;
  const before = imagesOf(text);
  const after = imagesOf(written);
  assert.equal(withHookSidecar(written, OURS), written, 'added once');
  assert.ok(after.includes(OURS.image));
  const foreign = (images: readonly (string | undefined)[]) =>
    images.filter((image) => image === undefined || !image.startsWith('registry.example/vsmmu'));
  assert.deepEqual(foreign(after), foreign(before), "others' stay in their order");
}

/** Images of all sidecars in an annotation that was taken; undefined for one that leaves the choice to KubeVirt. */
function imagesOf(text: string): (string | undefined)[] {
  const sidecars = JSON.parse(text.trim() === '' ? '[]' : text) as { image?: string | null }[];
  return sidecars.map(({ image }) => image || undefined);
}
