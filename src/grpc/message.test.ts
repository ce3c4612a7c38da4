import { createFileRegistry, fromBinary, toBinary, type DescMessage } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { execFileSync } from 'node:child_process';
import * as devicePlugin from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import * as dra from '../gen/kubelet/dra/v1/api_pb.js';
import * as health from '../gen/kubelet/drahealth/v1/api_pb.js';
import * as podResources from '../gen/kubelet/podresources/v1/api_pb.js';
import { decode, encode, type Field, type MessageType } from './message.js';

/** The oracle: @bufbuild/protobuf over the descriptors that buf makes of the same .proto files. */
const registry = createFileRegistry(
  fromBinary(
    FileDescriptorSetSchema,
    execFileSync('node_modules/.bin/buf', ['build', 'proto', '-o', '-'], { maxBuffer: 2 ** 24 }),
  ),
);

const types = [devicePlugin, dra, health, podResources]
  .flatMap((file): unknown[] => Object.values(file))
  .filter(
    (value): value is MessageType<unknown> =>
      typeof value === 'object' && value !== null && 'fields' in value && 'typeName' in value,
  );

function oracle({ typeName }: MessageType<unknown>): DescMessage {
  const found = registry.getMessage(typeName);
  if (found === undefined) throw new Error(`${typeName} is not in proto/`);
  return found;
}

const scalars = {
  string: fc.string({ unit: 'grapheme', maxLength: 12 }),
  bytes: fc.uint8Array({ maxLength: 12 }),
  bool: fc.boolean(),
  int32: fc.integer(),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
} as const;

function messageOf(type: MessageType<unknown>): fc.Arbitrary<object> {
  return fc.record(
    Object.fromEntries(type.fields.map((field) => [field[1], fieldOf(field)])),
    // What has no presence is always there after decoding.
    { requiredKeys: type.fields.filter(hasDefault).map(([, name]) => name) },
  );
}

function hasDefault([, , element, label]: Field): boolean {
  return label === 'repeated' || label === 'map' || (label === undefined && typeof element === 'string');
}

function fieldOf([, , element, label]: Field): fc.Arbitrary<unknown> {
  const one = typeof element === 'function' ? messageOf(element()) : scalars[element];
  if (label === 'repeated') return fc.array<unknown>(one, { maxLength: 3 });
  if (label === 'map')
    return fc.dictionary<unknown>(fc.string({ maxLength: 8 }), one, { maxKeys: 3, noNullPrototype: true });
  return one;
}

test('every message type of the kubelet is among them', () => {
  expect(types.length).toBeGreaterThan(40);
});

describe.each(types.map((type) => [type.typeName, type] as const))('%s', (_, type) => {
  test('is read by the oracle, and what the oracle writes is read here', () => {
    fc.assert(
      fc.property(messageOf(type), (message) => {
        const reread = toBinary(oracle(type), fromBinary(oracle(type), encode(type, message)));
        expect(decode(type, reread)).toEqual(message);
        expect(decode(type, encode(type, message))).toEqual(message);
      }),
      { numRuns: 30 },
    );
  });

  test('reads any bytes as the oracle does, or refuses them with an error', () => {
    const attempt = <T>(read: () => T): T | undefined => {
      try {
        return read();
      } catch {
        return undefined;
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const ours = attempt(() => decode(type, bytes));
        // The oracle refuses a field of another wire type; Go's protobuf and this skip it.
        const theirs = attempt(() => toBinary(oracle(type), fromBinary(oracle(type), bytes)));
        if (ours !== undefined && theirs !== undefined) expect(ours).toEqual(decode(type, theirs));
      }),
      { numRuns: 100 },
    );
  });
});

describe('encoding refuses', () => {
  test.each([
    [
      'a string for a message',
      devicePlugin.Device,
      { topology: 'x' },
      'v1beta1.Device.topology: expected a message',
    ],
    ['a number for a string', devicePlugin.Device, { ID: 1 }, 'v1beta1.Device.ID: expected string'],
    [
      'a message for a list',
      devicePlugin.TopologyInfo,
      { nodes: {} },
      'v1beta1.TopologyInfo.nodes: expected a list',
    ],
    ['a number beyond int64', devicePlugin.NUMANode, { ID: 2n ** 70n }, /int64/],
  ])('%s', (_, type, message, expected) => {
    // As a handler in JavaScript might answer.
    expect(() => encode(type as MessageType<unknown>, message)).toThrow(expected);
  });
});

test('a message in two pieces is merged, the last of a scalar counts, and what is unknown is skipped', () => {
  const { Device } = devicePlugin;
  const pieces = [
    { ID: 'a', topology: { nodes: [{ ID: 1n }] } },
    { ID: 'b', topology: { nodes: [{ ID: 2n }] } },
  ];
  const unknown = Buffer.from([0xf8, 0x01, 0x05, 0xfa, 0x01, 0x02, 0x41, 0x42]);
  const bytes = Buffer.concat([...pieces.map((piece) => encode(Device, piece)), unknown]);
  expect(decode(Device, bytes)).toEqual({
    ID: 'b',
    health: '',
    topology: { nodes: [{ ID: 1n }, { ID: 2n }] },
  });
});

test('a map may have the key __proto__', () => {
  const type = devicePlugin.ContainerAllocateResponse;
  const envs = JSON.parse('{"__proto__": "x", "A": "y"}') as Record<string, string>;
  const read = decode(type, encode(type, { envs })).envs;
  expect(Object.entries(read)).toEqual([
    ['__proto__', 'x'],
    ['A', 'y'],
  ]);
});
