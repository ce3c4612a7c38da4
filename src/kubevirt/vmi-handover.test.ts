import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import jsonPatch, { type Operation } from 'fast-json-patch';

import { BASELINE_DEVICES_ANNOTATION, RESOLVED_ANNOTATION } from './annotations.js';
import { checkResolvedAnnotation, handOver, type NodeLookup } from './vmi-handover.js';
import { parseVmi } from './vmi.js';

const annotation = (node: string, ssidsize = 20, version = 1) =>
  JSON.stringify({
    version,
    node,
    smmus: { 'smmu3.0x1': { accel: 'on', ats: 'on', ril: 'on', ssidsize, oas: 48 } },
    groups: [],
    devices: {},
  });

/** gpu-7 and gpu-8 are known, as they are now; nothing else is. */
const lookup: NodeLookup = (node, version) =>
  /^gpu-[78]$/.test(node)
    ? { known: true, annotation: annotation(node, 20, version) }
    : { known: false, because: `node ${node} has no NodeProfile` };

interface Sketch {
  readonly resolved?: string | undefined;
  readonly node?: string | undefined;
  readonly phase?: string | undefined;
  readonly other?: string | undefined;
  /** What its baseline says of models. */
  readonly models?: string | undefined;
}

function vmiJson({ resolved, node, phase, other, models }: Sketch) {
  const annotations = {
    ...(resolved === undefined ? {} : { [RESOLVED_ANNOTATION]: resolved }),
    ...(other === undefined ? {} : { other }),
    ...(models === undefined ? {} : { [BASELINE_DEVICES_ANNOTATION]: models }),
  };
  return {
    metadata: { name: 'vm', ...(Object.keys(annotations).length === 0 ? {} : { annotations }) },
    spec: {},
    status: { nodeName: node, phase },
  };
}

const vmi = (sketch: Sketch) => parseVmi(vmiJson(sketch));

function after(now: Sketch, before: Sketch) {
  const { patch, warnings } = handOver(vmi(now), vmi(before), lookup);
  const json = vmiJson(now) as { metadata: { annotations?: Record<string, string> } };
  const { newDocument } = jsonPatch.applyPatch(structuredClone(json), patch as Operation[], true);
  return { json: newDocument, resolved: newDocument.metadata.annotations?.[RESOLVED_ANNOTATION], warnings };
}

describe('the hand-over', () => {
  const OLD_VALUES = annotation('gpu-7', 16);
  test.each<[string, Sketch, Sketch, string | undefined]>([
    ['no node yet', {}, {}, undefined],
    ['the node is set', { node: 'gpu-7', phase: 'Scheduled' }, {}, annotation('gpu-7')],
    [
      'missed then, brought later',
      { node: 'gpu-7', phase: 'Scheduled' },
      { node: 'gpu-7' },
      annotation('gpu-7'),
    ],
    [
      'another node',
      { node: 'gpu-8', resolved: OLD_VALUES },
      { node: 'gpu-7', resolved: OLD_VALUES },
      annotation('gpu-8'),
    ],
    [
      'not started, and the node changed',
      { node: 'gpu-7', phase: 'Scheduled', resolved: OLD_VALUES },
      { node: 'gpu-7', resolved: OLD_VALUES },
      annotation('gpu-7'),
    ],
    [
      'running: its vSMMUs are made of the old values',
      { node: 'gpu-7', phase: 'Running', resolved: OLD_VALUES },
      { node: 'gpu-7', resolved: OLD_VALUES },
      OLD_VALUES,
    ],
    [
      'with models, for a VMI whose baseline speaks of them',
      { node: 'gpu-7', phase: 'Scheduled', models: '10de:2941=no' },
      { models: '10de:2941=no' },
      annotation('gpu-7', 20, 2),
    ],
    [
      'a replica of an older release wrote version 1, and the hook was refused: now with models',
      { node: 'gpu-7', phase: 'Scheduled', models: '10de:2941=no', resolved: annotation('gpu-7') },
      { node: 'gpu-7', models: '10de:2941=no', resolved: annotation('gpu-7') },
      annotation('gpu-7', 20, 2),
    ],
    [
      'running, by a newer release: its vSMMUs are made of what stands there',
      { node: 'gpu-7', phase: 'Running', resolved: annotation('gpu-7', 16, 9) },
      { node: 'gpu-7', resolved: annotation('gpu-7', 16, 9) },
      annotation('gpu-7', 16, 9),
    ],
    [
      'removed by somebody: written again',
      { node: 'gpu-7', phase: 'Running' },
      { node: 'gpu-7', resolved: OLD_VALUES },
      annotation('gpu-7'),
    ],
    [
      'unreadable: written again',
      { node: 'gpu-7', phase: 'Running', resolved: '{' },
      { node: 'gpu-7', resolved: '{' },
      annotation('gpu-7'),
    ],
    [
      'changed by this very request: left for the refusal',
      { node: 'gpu-7', resolved: OLD_VALUES },
      { node: 'gpu-7' },
      OLD_VALUES,
    ],
  ])('%s', (_, now, before, expected) => {
    expect(after(now, before)).toMatchObject({ resolved: expected, warnings: [] });
  });

  test('a node that is not known gives a warning that names it, and no values', () => {
    const { resolved, warnings } = after({ node: 'gpu-9', phase: 'Scheduled', other: 'x' }, {});
    expect(resolved).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining('gpu-9') as unknown]);
    const stale = annotation('gpu-7');
    expect(
      after({ node: 'gpu-9', resolved: stale }, { node: 'gpu-7', resolved: stale }).resolved,
    ).toBeUndefined();
  });

  test('a node that went silent keeps the values that stand there', () => {
    const values = annotation('gpu-9');
    const silent = { node: 'gpu-9', phase: 'Scheduled', resolved: values };
    expect(after(silent, silent)).toMatchObject({ resolved: values, warnings: [] });
  });

  test('handing over again hands nothing over, and everything else stays', () => {
    const sketch = fc.record({
      resolved: fc.constantFrom(
        undefined,
        '{',
        annotation('gpu-7'),
        annotation('gpu-8', 3),
        annotation('gpu-9'),
      ),
      node: fc.constantFrom(undefined, 'gpu-7', 'gpu-8', 'gpu-9'),
      phase: fc.constantFrom(undefined, 'Scheduled', 'Running'),
      other: fc.constantFrom(undefined, 'a/b~c'),
      models: fc.constantFrom(undefined, '10de:2941=no'),
    });
    fc.assert(
      fc.property(sketch, sketch, (now, before) => {
        const { json, resolved } = after(now, before);
        const handed = { ...now, resolved };
        expect(after(handed, before).resolved).toBe(resolved);
        expect(handOver(parseVmi(json), vmi(before), lookup).patch).toEqual([]);
        expect(after(handed, before).json.metadata.annotations?.['other']).toBe(now.other);
      }),
    );
  });
});

describe('who may write the annotation', () => {
  const user = { username: 'alice', isKubeVirt: false };
  const kubevirt = { username: 'system:serviceaccount:kubevirt:kubevirt-controller', isKubeVirt: true };
  const may = (now: Sketch, before: Sketch | undefined, who = user) =>
    checkResolvedAnnotation(vmi(now), before && vmi(before), lookup, who) === undefined;
  const values = annotation('gpu-7');
  const forged = annotation('gpu-7', 1);

  test.each<[string, boolean, Sketch, Sketch | undefined, boolean?]>([
    ['created without', true, {}, undefined],
    ['created with', false, { resolved: values, node: 'gpu-7' }, undefined],
    ['unchanged', true, { resolved: forged, node: 'gpu-7' }, { resolved: forged, node: 'gpu-7' }],
    ['removed', true, { node: 'gpu-7' }, { resolved: values, node: 'gpu-7' }],
    [
      "the node's values, whoever's request carries them",
      true,
      { resolved: values, node: 'gpu-7' },
      { node: 'gpu-7' },
    ],
    [
      'other values, by a user',
      false,
      { resolved: forged, node: 'gpu-7' },
      { resolved: values, node: 'gpu-7' },
    ],
    ['values without a node', false, { resolved: values }, {}],
    [
      "a replica's slightly other values, in KubeVirt's write",
      true,
      { resolved: forged, node: 'gpu-7' },
      {},
      true,
    ],
    ["another node's values, even in KubeVirt's write", false, { resolved: values, node: 'gpu-8' }, {}, true],
    [
      "the node's values with models",
      true,
      { resolved: annotation('gpu-7', 20, 2), node: 'gpu-7', models: '10de:2941=no' },
      { node: 'gpu-7' },
    ],
    [
      "of a newer release's replica, in KubeVirt's write",
      true,
      { resolved: annotation('gpu-7', 20, 9), node: 'gpu-7' },
      {},
      true,
    ],
    ['of a newer release, by a user', false, { resolved: annotation('gpu-7', 20, 9), node: 'gpu-7' }, {}],
    [
      "of a newer release for another node, even in KubeVirt's write",
      false,
      { resolved: annotation('gpu-8', 20, 9), node: 'gpu-7' },
      {},
      true,
    ],
    ["nonsense, even in KubeVirt's write", false, { resolved: '{', node: 'gpu-7' }, {}, true],
  ])('%s: %p', (_, allowed, now, before, byKubeVirt = false) => {
    expect(may(now, before, byKubeVirt ? kubevirt : user)).toBe(allowed);
  });
});
