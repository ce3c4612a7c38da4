import { beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

import { featuresOf } from '../host/features.js';
import { openHost } from '../host/open-host.js';
import { probeHost } from '../host/probe.js';
import type { DeviceReport, HostReport } from '../host/report.js';
import { parseAnnotation } from '../kubevirt/read-resolved.js';
import type { ResolvedAnnotation } from '../kubevirt/resolved-annotation.js';
import { renderAnnotation } from '../kubevirt/write-resolved.js';
import { formatBdf } from '../bdf.js';
import { completeness, describeNode } from './describe-node.js';
import { nodeProfileCrd } from './node-profile-crd.js';
import { nodeProfileSpec, type NodeProfileSpec } from './node-profile-schema.js';
import { parseNodeProfile } from './node-profile.js';

/** Synthetic: two SMMUs that differ, two GPUs and a NIC bound to VFIO drivers. */
const HOST = 'src/cli/demo/two-gpu-host';

let report: HostReport;

beforeAll(async () => {
  const source = await openHost({ host: HOST });
  report = await probeHost(source, { signal: new AbortController().signal });
  await source.close();
});

function object(spec: unknown, status: unknown = {}) {
  return { metadata: { name: 'gpu-7', uid: 'u' }, spec, status };
}

function withDevices(devices: readonly DeviceReport[]): HostReport {
  return { ...report, devices };
}

describe('a node described', () => {
  test('fits its schema, counts itself, and names only devices bound to a VFIO driver', () => {
    const spec = describeNode(report, 'gpu-7');
    expect(nodeProfileSpec.parse(spec)).toEqual(spec);
    expect(spec.summary).toMatchObject({ smmus: 2, accel: 2, devices: 3 });
    expect(spec.devices.map(({ bdf }) => bdf)).toEqual(['0009:01:00.0', '000a:01:00.0', '0019:01:00.0']);
    for (const { evidence } of spec.smmus) expect(evidence?.join()).toMatch(/IDR0\[10\]/);
  });

  test('says the same of the same host, in whatever order it was found', () => {
    const again = describeNode(withDevices([...report.devices].reverse()), 'gpu-7');
    expect(again).toEqual(describeNode(report, 'gpu-7'));
  });

  test('stays within a megabyte for 1,024 devices, and says how many more there were', () => {
    const [like] = report.devices.filter(({ vfio }) => vfio);
    const many = Array.from({ length: 1100 }, (_, index) => ({
      ...like!,
      bdf: formatBdf(1 + (index >> 8), index & 255, 0, 0)!,
    }));
    const host = withDevices(many);
    const spec = describeNode(host, 'gpu-7');
    expect(spec.devices).toHaveLength(1024);
    expect(JSON.stringify(spec).length).toBeLessThan(512 * 1024);
    expect(completeness(host, spec)).toMatchObject({ status: 'False', reason: 'TooManyDevices' });
    expect(parseNodeProfile(object(spec)).annotation.length).toBeLessThan(32 * 1024);
  });

  test('is complete when everything could be read, and else names what could not', () => {
    const spec = describeNode(report, 'gpu-7');
    expect(completeness(report, spec)).toMatchObject({ type: 'Complete', status: 'True' });
    const [first, ...others] = spec.smmus;
    const unread: NodeProfileSpec = {
      ...spec,
      smmus: [
        {
          name: first!.name,
          accel: 'impossible',
          obstacles: [{ code: 'HW_INFO_UNKNOWN', message: 'm', remedy: 'r' }],
        },
        ...others,
      ],
    };
    expect(completeness(report, unread)).toMatchObject({
      status: 'False',
      reason: 'SmmuUnread',
      message: expect.stringContaining(first!.name) as unknown,
    });
  });
});

describe('read again', () => {
  test('its annotation and features are those of the host itself', () => {
    const vfio = new Set(report.devices.filter((device) => device.vfio).map(({ bdf }) => bdf));
    const all = featuresOf(report);
    const features = { ...all, devices: new Map([...all.devices].filter(([bdf]) => vfio.has(bdf))) };
    const profile = parseNodeProfile(
      object(describeNode(report, 'gpu-7'), { renewedAt: '2026-06-01T12:00:00.000Z' }),
    );
    expect(JSON.parse(profile.annotation)).toEqual(JSON.parse(renderAnnotation(features, 'gpu-7')));
    expect(profile.features.devices).toEqual(features.devices);
    // Version 2 is version 1 and the models, which the host's own features have.
    const { version, groups, ...rest } = JSON.parse(profile.annotationWithModels()) as ResolvedAnnotation;
    expect(version).toBe(2);
    expect(groups.map(({ model }) => model)).toEqual(['10de:2941', '15b3:1023', '10de:2941']);
    expect(rest).toMatchObject({ node: 'gpu-7' });
    expect(parseAnnotation(profile.annotationWithModels()).features.devices).toEqual(features.devices);
    expect(profile.renewedAt).toBe(Date.parse('2026-06-01T12:00:00Z'));
  });

  test.each<[string, (spec: NodeProfileSpec) => unknown, RegExp]>([
    ['of another node', (spec) => ({ ...spec, node: 'gpu-8' }), /spec\.node is gpu-8/],
    [
      'a value out of range',
      (spec) => ({ ...spec, devices: [{ ...spec.devices[0], pasidBits: 21 }] }),
      /devices\.0\.pasidBits/,
    ],
    ['a device of no SMMU', (spec) => ({ ...spec, smmus: [] }), /smmus has no/],
    ['nothing', () => undefined, /spec\./],
  ])('%s is refused', (_, change, message) => {
    expect(() => parseNodeProfile(object(change(describeNode(report, 'gpu-7'))))).toThrow(
      expect.objectContaining({
        code: 'PROFILE_MALFORMED',
        message: expect.stringMatching(message) as unknown,
      }),
    );
  });

  test('a status that makes no sense costs the age alone', () => {
    const profile = parseNodeProfile(object(describeNode(report, 'gpu-7'), { renewedAt: 'yesterday' }));
    expect(profile.renewedAt).toBeUndefined();
  });
});

test("the chart's CRD is what the schema gives", () => {
  const stored = readFileSync('charts/vsmmu/files/crds/nodeprofiles.vsmmu.io.yaml', 'utf8');
  // YAML 1.1 as Kubernetes reads it: an unquoted "on" would be a boolean there.
  expect(parse(stored, { version: '1.1' })).toEqual(nodeProfileCrd());
});

describe('written by another version of the agent', () => {
  test('a newer one: fields that are not known are passed over, at every depth', () => {
    const spec = describeNode(report, 'gpu-7');
    const newer = {
      ...spec,
      topology: { links: [1] },
      summary: { ...spec.summary, nvlinks: 4 },
      smmus: spec.smmus.map((smmu) => ({ ...smmu, generation: 5 })),
      devices: spec.devices.map((device) => ({ ...device, cxl: true })),
    };
    const read = parseNodeProfile(object(newer, { renewedAt: '2026-01-01T00:00:00Z', phase: 'x' }));
    const { annotationWithModels: withModels, ...now } = parseNodeProfile(
      object(spec, { renewedAt: '2026-01-01T00:00:00Z' }),
    );
    expect(read).toMatchObject(now);
    expect(read.annotationWithModels()).toBe(withModels());
  });

  test('a newer one: a word that is not known costs this profile alone, and is named', () => {
    const spec = describeNode(report, 'gpu-7');
    const newer = { ...spec, devices: spec.devices.map((device) => ({ ...device, ats: 'partial' })) };
    expect(() => parseNodeProfile(object(newer))).toThrow(/spec\.devices\.0\.ats/);
  });

  test('an older one: what it did not tell is unknown, never a default', () => {
    const { devices, ...spec } = describeNode(report, 'gpu-7');
    const older = devices.map(({ bdf, smmu, kernelAts, ats, ready }) => ({
      bdf,
      smmu,
      kernelAts,
      ats,
      ready,
    }));
    const { features, devices: read } = parseNodeProfile(object({ ...spec, devices: older }));
    for (const device of features.devices.values())
      expect([device.atsCapability, device.numaNode, device.model]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
    for (const device of read.values()) expect(device.pasidBits).toBeUndefined();
  });
});
