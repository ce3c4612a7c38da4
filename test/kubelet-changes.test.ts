import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runAgent, type RunningAgent } from './kubelet-agent.js';
import type { FunctionOfHost, HostTree } from './kubelet-host.js';
import { KubeletPeer, until } from './kubelet-peer.js';

/** A host that changes under an agent which has handed devices out: what the kubelet is told, and what a pod can still get. */

const GPU = 'vsmmu.io/10de-2941';
const one: FunctionOfHost = { bdf: '0009:01:00.0', group: 11, numa: 1 };
const mate: FunctionOfHost = { bdf: '0009:01:00.1', group: 11, numa: 1 };
const other: FunctionOfHost = { bdf: '0019:01:00.0', group: 12, numa: 0 };

let dir: string;
let kubelet: KubeletPeer;
let stop: () => Promise<void>;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  kubelet = new KubeletPeer(join(dir, 'k'));
  await kubelet.start();
});
afterEach(async () => {
  await stop();
  await kubelet.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(...functions: readonly FunctionOfHost[]): HostTree {
  const agent = runAgent(dir, kubelet, functions);
  ({ stop } = agent);
  return agent.host;
}

function toldHealth(expected: Readonly<Record<string, string>>): Promise<unknown> {
  const wanted = JSON.stringify(Object.entries(expected).sort());
  return until(() => JSON.stringify(Object.entries(kubelet.health(GPU) ?? {}).sort()) === wanted);
}

/** Paths of the first answer that is no refusal: the agent may not have seen yet what the host already is. */
async function granted(bdf: string): Promise<string[]> {
  const giveUp = performance.now() + 15_000;
  for (;;) {
    try {
      return (await kubelet.allocate(GPU, bdf)).devices.map(({ hostPath }) => hostPath);
    } catch (error) {
      if (!/DEVICE_CHANGED/.test(String(error)) || performance.now() > giveUp) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

describe('IOMMU groups that change', () => {
  test('a group that splits: the mate of a taken device is free', async () => {
    const host = start(one, mate);
    await toldHealth({ [one.bdf]: 'Healthy', [mate.bdf]: 'Healthy' });
    await kubelet.allocate(GPU, one.bdf);
    await toldHealth({ [one.bdf]: 'Healthy', [mate.bdf]: 'Unhealthy' });
    host.plug({ ...mate, group: 13 });
    await toldHealth({ [one.bdf]: 'Healthy', [mate.bdf]: 'Healthy' });
    const { devices } = await kubelet.allocate(GPU, mate.bdf);
    expect(devices.map(({ hostPath }) => hostPath)).toContain('/dev/vfio/13');
  });

  test('two groups that become one: what is free of it is kept back, though it was free before', async () => {
    const host = start(one, other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    await kubelet.allocate(GPU, one.bdf);
    host.plug({ ...other, group: 11 });
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Unhealthy' });
    await expect(kubelet.allocate(GPU, other.bdf)).rejects.toThrow(/GROUP_TAKEN|DEVICE_CHANGED/);
  });

  test('a number that another device got: the answer names the group of now, never the stale one', async () => {
    const host = start(one, other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    host.plug({ ...one, group: 12 });
    host.plug({ ...other, group: 11 });
    for (const [device, node] of [
      [one, '/dev/vfio/12'],
      [other, '/dev/vfio/11'],
    ] as const) {
      const paths = (await granted(device.bdf)).filter((path) => /^\/dev\/vfio\/\d+$/.test(path));
      expect(paths).toEqual([node]);
    }
  });
});

describe('devices that go', () => {
  test('a virtual function that its physical one takes away is unhealthy and refused, and back when it is made again', async () => {
    const host = start(one, other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    host.unplug(other.bdf);
    await until(() => kubelet.health(GPU)?.[other.bdf] !== 'Healthy');
    await expect(kubelet.allocate(GPU, other.bdf)).rejects.toThrow(/DEVICE_/);
    host.plug(other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    await kubelet.allocate(GPU, other.bdf);
  });

  test('a driver unbound between the list and Allocate: refused by what the host says at that moment', async () => {
    const host = start(one);
    await toldHealth({ [one.bdf]: 'Healthy' });
    host.plug({ ...one, driver: 'nvme' });
    await expect(kubelet.allocate(GPU, one.bdf)).rejects.toThrow(/DEVICE_/);
  });

  test('a reset takes a node away for a moment: unhealthy, then healthy, and no other device suffers', async () => {
    const host = start(one, other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    host.remove('/dev/vfio/11');
    await toldHealth({ [one.bdf]: 'Unhealthy', [other.bdf]: 'Healthy' });
    host.plug(one);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
  });

  test('a scan is told what is handed out: a VM that starts with it must not meet a probe', async () => {
    let isHandedOut: (group: number) => boolean = () => true;
    const agent: RunningAgent = runAgent(dir, kubelet, [one, other], {
      scan: (_, handedOut) => {
        isHandedOut = handedOut;
        return agent.host.report();
      },
    });
    ({ stop } = agent);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    expect([one, other].map(({ group }) => isHandedOut(group))).toEqual([false, false]);
    await kubelet.allocate(GPU, other.bdf);
    expect([one, other].map(({ group }) => isHandedOut(group))).toEqual([false, true]);
  });

  test('hot-unplugged while pods are admitted: each answer is a refusal with a code, or names its own device alone', async () => {
    const host = start(one, other);
    await toldHealth({ [one.bdf]: 'Healthy', [other.bdf]: 'Healthy' });
    let granted = 0;
    let refused = 0;
    for (let turn = 0; turn < 60; turn++) {
      const device = turn % 2 === 0 ? one : other;
      if (turn % 3 === 0) host.unplug(device.bdf);
      else host.plug(device);
      try {
        const { envs, devices } = await kubelet.allocate(GPU, device.bdf);
        expect(Object.values(envs)).toEqual([device.bdf]);
        expect(devices.map(({ hostPath }) => hostPath)).toContain(`/dev/vfio/${device.group}`);
        granted++;
      } catch (error) {
        expect(String(error)).toMatch(/DEVICE_(CHANGED|NOT_ADVERTISED)/);
        refused++;
      }
    }
    expect(granted).toBeGreaterThan(5);
    expect(refused).toBeGreaterThan(5);
  });
});
