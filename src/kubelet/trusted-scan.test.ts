import { describe, expect, test } from '@jest/globals';
import { failed, succeeded, type HostSource, type Read } from '../host/host-source.js';
import { probeHost } from '../host/probe.js';
import { formatBdf } from '../bdf.js';
import { asItIsNow, checkDevice } from './device-nodes.js';
import { HEALTHY, type PluginDevice } from './plugin-device.js';
import { scanTrusted } from './trusted-scan.js';

/** A host of which nothing can be read, and for what errno. */
function unreadable(errno: string): HostSource {
  const no = (path: string): Read<never> => failed(errno, `${path}: ${errno}`);
  return {
    origin: 'a test',
    findings: [],
    readText: no,
    readBytes: no,
    readLink: no,
    list: no,
    exists: no,
    pciConfig: no,
    devicesBeyondSysfs: () => [],
    hwInfo: () => Promise.reject(new Error('there is nothing to ask')),
    close: () => Promise.resolve(),
  };
}

describe('a scan', () => {
  test.each(['EMFILE', 'ENFILE', 'ENOMEM'])('that runs into %s is none', async (errno) => {
    await expect(scanTrusted(unreadable(errno), (source) => probeHost(source))).rejects.toMatchObject({
      code: 'SCAN_SHORTAGE',
      message: expect.stringContaining(errno),
    });
  });

  test.each(['ENOENT', 'EACCES', 'EIO'])('that meets %s tells what there is', async (errno) => {
    const { devices } = await scanTrusted(unreadable(errno), (source) => probeHost(source));
    expect(devices).toEqual([]);
  });
});

describe('a device whose cdev cannot be looked for', () => {
  const device: PluginDevice = {
    bdf: formatBdf(0, 1, 0, 0)!,
    driver: 'vfio-pci',
    iommuGroup: 7,
    groupMates: [],
    smmu: undefined,
    numaNode: undefined,
    pcieRoot: undefined,
    health: HEALTHY,
  };
  const host = (list: Read<readonly string[]>) => ({
    readLink: (path: string) => succeeded(path.endsWith('driver') ? '../vfio-pci' : '../7'),
    exists: () => succeeded(true),
    list: () => list,
  });

  test('for want of open files is not handed out without it, and stays healthy', () => {
    const source = host(failed('EMFILE', 'EMFILE: too many open files'));
    expect(checkDevice(source, device)).toMatchObject({
      ok: false,
      problem: expect.stringContaining('EMFILE'),
    });
    expect(asItIsNow(source, device)).toBe(device);
  });

  test('because there is none is handed out without it', () => {
    expect(checkDevice(host(failed('ENOENT', 'none')), device)).toMatchObject({
      ok: true,
      nodes: { cdev: undefined },
    });
  });
});
