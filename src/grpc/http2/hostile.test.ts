/** What a hostile or broken peer may send: it is told so, and the server serves others as before. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DevicePlugin } from '../../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient } from '../client.js';
import { serveUnix, service, type UnixServer } from '../server.js';
import { ErrorCode, Flag, frame, FrameReader, FrameType, PREFACE, uint32s, type Frame } from './frame.js';
import { FloodGuard } from './flood.js';
import { encodeHeaders, HeaderDecoder, type Header } from './hpack.js';
import { ReceiveWindow } from './window.js';

let dir: string;
let server: UnixServer;
const failures: unknown[] = [];

beforeEach(async () => {
  failures.length = 0;
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  const handlers = {
    getDevicePluginOptions: () => ({ preStartRequired: true }),
    async *listAndWatch(_: unknown, { signal }: { signal: AbortSignal }) {
      while (!signal.aborted) yield await Promise.resolve({ devices: [{ health: 'x'.repeat(50_000) }] });
    },
    getPreferredAllocation: () => ({}),
    allocate: () => ({}),
    preStartContainer: () => ({}),
  };
  server = await serveUnix(join(dir, 's.sock'), [service(DevicePlugin, handlers)], {
    onFailure: (_, error) => failures.push(error),
    graceMs: 0,
  });
});
afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

const none = Buffer.alloc(0);
const settings = frame(FrameType.settings, Flag.none, 0, none);
const whole = Flag.endHeaders | Flag.endStream;
const call = (path: string, ...more: Header[]) =>
  encodeHeaders([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    // What clients before grpc-go 1.34 say of a unix socket, and nghttp2 refuses.
    [':authority', '/var/lib/kubelet/device-plugins/s.sock'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ]);
const OPTIONS = '/v1beta1.DevicePlugin/GetDevicePluginOptions';
const headers = (stream: number, block: Buffer, flags: number = Flag.endHeaders) =>
  frame(FrameType.headers, flags, stream, block);
const data = (stream: number, payload: Uint8Array, flags: number = Flag.endStream) =>
  frame(FrameType.data, flags, stream, payload);
const emptyRequest = Buffer.from([0, 0, 0, 0, 0]);

/** Everything the server answers until it closes, or until `enough` of it is there. */
async function answers(
  sent: readonly Uint8Array[],
  enough: (frames: readonly Frame[]) => boolean,
): Promise<Frame[]> {
  const socket = connect(server.path);
  const reader = new FrameReader({ preface: false });
  const frames: Frame[] = [];
  // A server that has heard enough may close while this still writes.
  socket.on('error', () => undefined);
  socket.write(Buffer.concat(sent));
  for await (const chunk of socket) {
    frames.push(...reader.push(chunk as Buffer));
    if (enough(frames)) break;
  }
  socket.destroy();
  return frames;
}

async function served(): Promise<void> {
  const client = unixClient(DevicePlugin, server.path);
  expect(await client.call.getDevicePluginOptions({}, { timeoutMs: 20_000 })).toMatchObject({
    preStartRequired: true,
  });
  client.close();
}

const farewell = (frames: readonly Frame[]) => {
  const last = frames.find(({ type }) => type === FrameType.goaway);
  const code = last?.payload.readUInt32BE(4);
  return Object.entries(ErrorCode).find(([, number]) => number === code)?.[0];
};

describe('the connection ends with', () => {
  const begun = [PREFACE, settings];
  const flood = (one: Buffer, count: number) => Array.from({ length: count }, () => one);
  test.each<[string, string, Uint8Array[]]>([
    ['PROTOCOL_ERROR', 'a request of HTTP/1', [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')]],
    ['FRAME_SIZE_ERROR', 'a frame above 16 KiB', [...begun, data(1, Buffer.alloc(16_385))]],
    ['PROTOCOL_ERROR', 'data on no stream', [...begun, data(0, none)]],
    ['PROTOCOL_ERROR', 'data on a stream that was never opened', [...begun, data(1, none)]],
    ['PROTOCOL_ERROR', 'a stream with a server’s number', [...begun, headers(2, call(OPTIONS))]],
    [
      'PROTOCOL_ERROR',
      'another frame within a header block',
      [...begun, headers(1, call(OPTIONS), Flag.none), frame(FrameType.ping, 0, 0, Buffer.alloc(8))],
    ],
    [
      'PROTOCOL_ERROR',
      'a continuation of nothing',
      [...begun, frame(FrameType.continuation, Flag.endHeaders, 1, none)],
    ],
    [
      'ENHANCE_YOUR_CALM',
      'a header block without end',
      [
        ...begun,
        headers(1, none, Flag.none),
        ...flood(frame(FrameType.continuation, 0, 1, Buffer.alloc(16_000)), 6),
      ],
    ],
    [
      'ENHANCE_YOUR_CALM',
      'a header that is too long',
      [
        ...begun,
        headers(1, call(OPTIONS, ['x', 'y'.repeat(16_000)]), Flag.none),
        frame(FrameType.continuation, Flag.endHeaders, 1, encodeHeaders([['x', 'y'.repeat(4000)]])),
      ],
    ],
    ['COMPRESSION_ERROR', 'headers that are none', [...begun, headers(1, Buffer.from([0x80]))]],
    [
      'PROTOCOL_ERROR',
      'more padding than payload',
      [...begun, headers(1, Buffer.from([9, 0]), Flag.endHeaders | Flag.padded)],
    ],
    ['FRAME_SIZE_ERROR', 'settings cut short', [PREFACE, frame(FrameType.settings, 0, 0, Buffer.alloc(5))]],
    [
      'FRAME_SIZE_ERROR',
      'an acknowledgement that says something',
      [...begun, frame(FrameType.settings, Flag.ack, 0, Buffer.alloc(6))],
    ],
    [
      'FLOW_CONTROL_ERROR',
      'a window beyond 2^31-1',
      [...begun, frame(FrameType.settings, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff]))],
    ],
    ['FRAME_SIZE_ERROR', 'a ping of seven octets', [...begun, frame(FrameType.ping, 0, 0, Buffer.alloc(7))]],
    [
      'PROTOCOL_ERROR',
      'a window opened by nothing',
      [...begun, frame(FrameType.windowUpdate, 0, 0, uint32s(0))],
    ],
    [
      'FLOW_CONTROL_ERROR',
      'a window opened too far',
      [...begun, ...flood(frame(FrameType.windowUpdate, 0, 0, uint32s(0x7fffffff)), 2)],
    ],
    ['PROTOCOL_ERROR', 'a push', [...begun, frame(FrameType.pushPromise, 0, 1, Buffer.alloc(4))]],
  ])('%s for %s', async (code, _, sent) => {
    expect(farewell(await answers(sent, () => false))).toBe(code);
    await served();
    expect(failures).toEqual([]);
  });
});

describe('a call ends with', () => {
  const status = (frames: readonly Frame[]): Record<string, string> => {
    const decoder = new HeaderDecoder();
    const blocks = frames.filter(({ type }) => type === FrameType.headers);
    return Object.fromEntries(blocks.flatMap(({ payload }) => decoder.decode(payload)));
  };
  const compressed = Buffer.from([1, 0, 0, 0, 0]);
  test.each<[string, Record<string, string>, Uint8Array[]]>([
    [
      'nothing wrong',
      { ':status': '200', 'grpc-status': '0' },
      [headers(1, call(OPTIONS)), data(1, emptyRequest)],
    ],
    [
      'padding, a priority and frames of one octet',
      { 'grpc-status': '0' },
      [
        headers(
          1,
          Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 9]), call(OPTIONS), Buffer.alloc(3)]),
          Flag.endHeaders | Flag.padded | Flag.priority,
        ),
        frame(FrameType.priority, 0, 1, Buffer.alloc(5)),
        frame(0x42, 0xff, 1, Buffer.from('a type nobody knows')),
        ...[0, 0, 0, 0].map((octet) => data(1, Buffer.from([octet]), Flag.none)),
        data(1, Buffer.from([2, 0, 7, 7]), Flag.endStream | Flag.padded),
      ],
    ],
    [
      'trailers of the client',
      { 'grpc-status': '0' },
      [
        headers(1, call(OPTIONS)),
        data(1, emptyRequest, Flag.none),
        headers(1, encodeHeaders([['x', 'y']]), whole),
      ],
    ],
    ['no request', { 'grpc-status': '13' }, [headers(1, call(OPTIONS), whole)]],
    [
      'half a request',
      { 'grpc-status': '13' },
      [headers(1, call(OPTIONS)), data(1, Buffer.from([0, 0, 0, 0, 9, 1]))],
    ],
    [
      'two requests',
      { 'grpc-status': '13' },
      [headers(1, call(OPTIONS)), data(1, Buffer.concat([emptyRequest, emptyRequest]))],
    ],
    ['a compressed request', { 'grpc-status': '12' }, [headers(1, call(OPTIONS)), data(1, compressed)]],
    [
      'a request of 4 GiB',
      { 'grpc-status': '8' },
      [headers(1, call(OPTIONS)), data(1, Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))],
    ],
    [
      'a request that is no message',
      { 'grpc-status': '3' },
      [headers(1, call('/v1beta1.DevicePlugin/Allocate')), data(1, Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x09]))],
    ],
    ['a path that is none', { 'grpc-status': '12' }, [headers(1, call('')), data(1, emptyRequest)]],
    [
      'a timeout that is none',
      { 'grpc-status': '3' },
      [headers(1, call(OPTIONS, ['grpc-timeout', 'soon'])), data(1, emptyRequest)],
    ],
    [
      'another kind of content',
      { ':status': '415' },
      [
        headers(
          1,
          encodeHeaders([
            [':method', 'POST'],
            [':path', OPTIONS],
          ]),
          whole,
        ),
      ],
    ],
    [
      'another method',
      { ':status': '405' },
      [
        headers(
          1,
          encodeHeaders([
            [':method', 'GET'],
            [':path', '/metrics'],
          ]),
          whole,
        ),
      ],
    ],
  ])('%s: %p', async (_, expected, sent) => {
    const ended = (frames: readonly Frame[]) =>
      frames.some(({ type, flags }) => type === FrameType.headers && (flags & Flag.endStream) !== 0);
    expect(status(await answers([PREFACE, settings, ...sent], ended))).toMatchObject(expected);
    await served();
    // None of it is the handlers' doing.
    expect(failures).toEqual([]);
  });
});

test('a peer that opens and cuts thousands of calls leaves nothing behind', async () => {
  const calls = Array.from({ length: 3000 }, (_, n) => [
    headers(2 * n + 1, call('/v1beta1.DevicePlugin/ListAndWatch')),
    data(2 * n + 1, emptyRequest),
    frame(FrameType.rstStream, Flag.none, 2 * n + 1, uint32s(ErrorCode.CANCEL)),
  ]);
  const ping = frame(FrameType.ping, Flag.none, 0, Buffer.from('all read'));
  await answers([PREFACE, settings, ...calls.flat(), ping], (frames) =>
    frames.some(({ type }) => type === FrameType.ping),
  );
  await served();
  expect(failures).toEqual([]);
});

test('a reader that takes nothing stops the stream, not the server', async () => {
  const socket = connect(server.path);
  socket.pause();
  socket.write(
    Buffer.concat([
      PREFACE,
      settings,
      headers(1, call('/v1beta1.DevicePlugin/ListAndWatch')),
      data(1, emptyRequest),
    ]),
  );
  await served();
  await served();
  socket.destroy();
});

test('any frames at all end in answers or a farewell', async () => {
  const anyFrame = fc
    .tuple(
      fc.integer({ min: 0, max: 11 }),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 6 }),
      fc.uint8Array({ maxLength: 60 }),
    )
    .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));
  const opened = fc.constantFrom(
    headers(1, call(OPTIONS)),
    data(1, emptyRequest),
    headers(3, call('/v1beta1.DevicePlugin/ListAndWatch')),
  );
  const end = frame(FrameType.headers, Flag.endHeaders, 2, none);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(anyFrame, opened, fc.uint8Array({ maxLength: 30 })), { maxLength: 12 }),
      async (sent) => {
        const socket = connect(server.path);
        socket.on('error', () => undefined);
        // Its own end makes sure that the server closes, whatever it made of the rest.
        socket.end(Buffer.concat([PREFACE, settings, ...sent, end]));
        socket.resume();
        await new Promise((resolve) => socket.once('close', resolve));
      },
    ),
    { numRuns: 150 },
  );
  await served();
  expect(failures).toEqual([]);
});

test('a flood is told from a busy peer by its pace and by what it leaves unread', () => {
  const guard = new FloodGuard();
  guard.count(0);
  expect(() => guard.count(5 * 1024 * 1024)).toThrow(/^ENHANCE_YOUR_CALM/);
  expect(() => {
    for (let frames = 0; frames < 1_000_000; frames += 1) guard.count(0);
  }).toThrow(/^ENHANCE_YOUR_CALM/);
});

test('a window takes what it has, and opens by halves', () => {
  const window = new ReceiveWindow(1000);
  window.receive(600);
  expect(window.consume(400)).toBe(0);
  expect(window.consume(200)).toBe(600);
  window.receive(1000);
  expect(() => window.receive(1)).toThrow(/^FLOW_CONTROL_ERROR/);
});
