import { describe, expect, test } from '@jest/globals';

import { parseVmi, parseVmiBytes } from './vmi.js';

const bytes = (json: unknown) => new TextEncoder().encode(JSON.stringify(json));

describe('what is read of a VMI', () => {
  test('devices by resource and by claim, annotations, node', () => {
    const vmi = parseVmiBytes(
      bytes({
        metadata: { name: 'vm', namespace: 'ns', annotations: { a: 'b' } },
        spec: {
          domain: {
            devices: {
              gpus: [{ name: 'gpu0', deviceName: 'vsmmu.io/gb200' }],
              hostDevices: [{ name: 'nic', claimName: 'nics', requestName: 'one' }],
            },
          },
          affinity: { nodeAffinity: null },
          resourceClaims: [{ name: 'nics', resourceClaimTemplateName: 'nic-template' }],
        },
        status: { nodeName: 'gpu-7', phase: 'Scheduled' },
      }),
    );
    expect(vmi).toEqual({
      name: 'vm',
      namespace: 'ns',
      annotations: { a: 'b' },
      hasSpec: true,
      devices: [
        {
          list: 'gpus',
          index: 0,
          name: 'gpu0',
          deviceName: 'vsmmu.io/gb200',
          claimName: undefined,
          requestName: undefined,
        },
        {
          list: 'hostDevices',
          index: 0,
          name: 'nic',
          deviceName: undefined,
          claimName: 'nics',
          requestName: 'one',
        },
      ],
      resourceClaims: [{ name: 'nics', claim: undefined, template: 'nic-template' }],
      affinity: { nodeAffinity: null },
      nodeName: 'gpu-7',
      phase: 'Scheduled',
    });
  });

  test('fields that Go leaves out, nulls or empties are absent', () => {
    const empty = parseVmi({
      metadata: { generateName: 'vm-', annotations: null },
      spec: { domain: { devices: { gpus: null } } },
      status: { nodeName: '' },
    });
    expect(empty).toMatchObject({ name: 'vm-', annotations: undefined, devices: [], nodeName: undefined });
    expect(parseVmi({ metadata: {}, spec: null })).toMatchObject({ devices: [], affinity: undefined });
  });
});

test.each<[string, Uint8Array, string]>([
  ['not JSON', new TextEncoder().encode('{'), 'VirtualMachineInstance'],
  ['not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'VirtualMachineInstance'],
  ['a string', bytes('vmi'), 'VirtualMachineInstance'],
  ['no metadata', bytes({ spec: {} }), 'metadata'],
  ['an annotation that is no text', bytes({ metadata: { annotations: { a: 1 } } }), 'metadata.annotations.a'],
  [
    'gpus that are no list',
    bytes({ metadata: {}, spec: { domain: { devices: { gpus: {} } } } }),
    'spec.domain.devices.gpus',
  ],
  [
    '5,000 gpus',
    bytes({
      metadata: {},
      spec: { domain: { devices: { gpus: Array.from({ length: 5000 }, () => ({})) } } },
    }),
    'spec.domain.devices.gpus',
  ],
  ['5 MB', new Uint8Array(5_000_000), 'VirtualMachineInstance'],
])('%s is refused, with its place', (_, input, place) => {
  expect(() => parseVmiBytes(input)).toThrow(expect.objectContaining({ code: 'VMI_MALFORMED', place }));
});
