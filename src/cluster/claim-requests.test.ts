import { describe, expect, test } from '@jest/globals';

import { allocatedDevices, claimRequests, selectsOurDevices, templateRequests } from './claim-requests.js';

const cel = (expression: string) => ({ cel: { expression } });
const spec = (requests: readonly object[]) => ({ devices: { requests } });

test.each([
  ['device.driver == "vsmmu.io"', true],
  ["device.driver == 'vsmmu.io'", true],
  ['"vsmmu.io" == device.driver', true],
  ['device.attributes["vsmmu.io"].ats', true],
  ['device.driver != "vsmmu.io"', false],
  ['"vsmmu.io" != device.driver', false],
  ['device.driver == "gpu.nvidia.com"', false],
  ['device.driver == "vsmmuXio"', false],
  ['device.driver == "not-vsmmu.io"', false],
  ['device.attributes["gpu.nvidia.com"].note == "see vsmmu.io"', false],
])('a class that selects %s: %p', (expression, ours) => {
  expect(selectsOurDevices({ metadata: { name: 'c' }, spec: { selectors: [cel(expression)] } })).toBe(ours);
});

test('a class without selectors selects nobody in particular', () => {
  expect(selectsOurDevices({ metadata: { name: 'c' }, spec: {} })).toBe(false);
});

describe('what a claim asks for', () => {
  const metadata = { name: 'claim', namespace: 'vms' };
  test('by class, by choices of classes, and by selectors of its own', () => {
    const requests = [
      { name: 'gpu', exactly: { deviceClassName: 'vsmmu.io' } },
      {
        name: 'any',
        firstAvailable: [
          { name: 'a', deviceClassName: 'big' },
          {
            name: 'b',
            deviceClassName: 'all',
            selectors: [cel('device.attributes["vsmmu.io"].pasid')],
          },
        ],
      },
      { name: 'future' },
    ];
    const asked = [
      { name: 'gpu', classes: ['vsmmu.io'], ours: false },
      { name: 'any', classes: ['big', 'all'], ours: true },
      { name: 'future', classes: [], ours: false },
    ];
    expect(claimRequests({ metadata, spec: spec(requests) })).toEqual(asked);
    expect(templateRequests({ metadata, spec: { spec: spec(requests) } })).toEqual(asked);
  });

  test('what it was given decides, whatever its class is called', () => {
    const requests = ['one', 'two'].map((name) => ({ name, exactly: { deviceClassName: 'all' } }));
    const results = [
      { request: 'one/first', driver: 'vsmmu.io', pool: 'gpu-7', device: 'pci-0009-01-00-0' },
      { request: 'two', driver: 'gpu.nvidia.com', pool: 'gpu-7', device: 'gpu-0' },
    ];
    const status = { allocation: { devices: { results } } };
    expect(allocatedDevices({ metadata, spec: spec(requests), status })).toEqual([
      { request: 'one', pool: 'gpu-7', device: 'pci-0009-01-00-0' },
    ]);
    expect(allocatedDevices({ metadata, spec: spec(requests), status: {} })).toBeUndefined();
    expect(claimRequests({ metadata, spec: spec(requests), status }).map(({ ours }) => ours)).toEqual([
      true,
      false,
    ]);
  });

  test('nothing is read out of an object of another kind', () => {
    expect(() => claimRequests({ metadata, spec: { devices: { requests: 5 } } })).toThrow();
    expect(claimRequests({ metadata, spec: {} })).toEqual([]);
  });
});
