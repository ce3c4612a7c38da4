/** Both sides against the field's implementations: @grpc/grpc-js over node:http2 (nghttp2). Go's are in test/real. */
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status as Status,
  type ServiceError,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AllocateRequest,
  AllocateResponse,
  DevicePlugin,
  Empty,
  ListAndWatchResponse,
} from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient } from './client.js';
import { decode, encode, type Init, type MessageType } from './message.js';
import { serveUnix, service, type ServiceHandlers, type UnixServer } from './server.js';
import { RpcError } from './status.js';

let dir: string;
let cleanUp: (() => void | Promise<void>)[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
});
afterEach(async () => {
  for (const clean of cleanUp.reverse()) await clean();
  cleanUp = [];
  rmSync(dir, { recursive: true });
});

const ALLOCATE = '/v1beta1.DevicePlugin/Allocate';
const WATCH = '/v1beta1.DevicePlugin/ListAndWatch';
const big = 'x'.repeat(3 * 1024 * 1024);
const request = (...devicesIds: string[]) => ({ containerRequests: [{ devicesIds }] });
const echo: ServiceHandlers<typeof DevicePlugin> = {
  getDevicePluginOptions: () => ({}),
  async *listAndWatch() {
    for (let n = 0; n < 500; n += 1)
      yield await Promise.resolve({ devices: [{ ID: String(n), health: 'h'.repeat(4000) }] });
  },
  getPreferredAllocation: () => ({}),
  allocate: ({ containerRequests }) => ({
    containerResponses: containerRequests.map(({ devicesIds }) => ({ envs: { IDS: devicesIds.join() } })),
  }),
  preStartContainer: () => {
    throw new RpcError('FAILED_PRECONDITION', '100 % „zu spät“\nsecond line');
  },
};

describe('a grpc-js client at our server', () => {
  async function peer(handlers = echo, options = {}): Promise<{ client: Client; server: UnixServer }> {
    const path = join(dir, 's.sock');
    const server = await serveUnix(path, [service(DevicePlugin, handlers)]);
    const client = new Client(`unix:${path}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      ...options,
    });
    cleanUp.push(
      () => server.close(),
      () => client.close(),
    );
    return { client, server };
  }

  const call = <I, O>(
    client: Client,
    path: string,
    [input, output]: [MessageType<I>, MessageType<O>],
    init: Init<I>,
    options = {},
  ) =>
    new Promise<O>((resolve, reject) => {
      const bytes = Buffer.from(encode(input, init));
      const done = (error: ServiceError | null, answer?: O) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error ?? new Error('no answer'));
      };
      client.makeUnaryRequest(
        path,
        () => bytes,
        (data: Buffer) => decode(output, data),
        init,
        new Metadata(),
        options,
        done,
      );
    });
  const allocate: [MessageType<AllocateRequest>, MessageType<AllocateResponse>] = [
    AllocateRequest,
    AllocateResponse,
  ];

  test('unary calls, side by side', async () => {
    const { client } = await peer();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => call(client, ALLOCATE, allocate, request(`dev${n}`))),
    );
    expect(answers.map(({ containerResponses }) => containerResponses[0]?.envs['IDS'])).toEqual(
      Array.from({ length: 50 }, (_, n) => `dev${n}`),
    );
  });

  test('messages far beyond the flow-control windows, both ways', async () => {
    const { client } = await peer();
    const answer = await call(client, ALLOCATE, allocate, request(big));
    expect(answer.containerResponses[0]?.envs['IDS']?.length).toBe(big.length);
  });

  test('a stream, in order', async () => {
    const { client } = await peer();
    const ids: string[] = [];
    const stream = client.makeServerStreamRequest(
      WATCH,
      () => Buffer.from(encode(Empty, {})),
      (data: Buffer) => decode(ListAndWatchResponse, data),
      {},
    );
    for await (const { devices } of stream as AsyncIterable<ListAndWatchResponse>)
      ids.push(devices[0]?.ID ?? '');
    expect(ids).toEqual(Array.from({ length: 500 }, (_, n) => String(n)));
  });

  test.each([
    [
      'a status with text in any script',
      '/v1beta1.DevicePlugin/PreStartContainer',
      {},
      { code: 9, details: '100 % „zu spät“\nsecond line' },
    ],
    ['a method that is not there', '/v1beta1.DevicePlugin/Unknown', {}, { code: 12 }],
    ['a service that is not there', '/v9.Nothing/Allocate', {}, { code: 12 }],
  ])('%s', async (_, path, init, expected) => {
    const { client } = await peer();
    await expect(call(client, path, [Empty, Empty], init)).rejects.toMatchObject(expected);
    await call(client, ALLOCATE, allocate, request('still served'));
  });

  test('a request above 4 MiB is RESOURCE_EXHAUSTED', async () => {
    const { client } = await peer(echo, { 'grpc.max_send_message_length': -1 });
    await expect(
      call(client, ALLOCATE, allocate, request('x'.repeat(5 * 1024 * 1024))),
    ).rejects.toMatchObject({ code: 8 });
    await call(client, ALLOCATE, allocate, request('still served'));
  });

  test('a compressed request is UNIMPLEMENTED', async () => {
    // 2 is gzip (grpc-js, CompressionAlgorithms).
    const { client } = await peer(echo, { 'grpc.default_compression_algorithm': 2 });
    await expect(call(client, ALLOCATE, allocate, request('a'))).rejects.toMatchObject({ code: 12 });
  });

  test('a deadline that passes', async () => {
    const { client } = await peer({ ...echo, allocate: () => new Promise(() => undefined) });
    const deadline = Date.now() + 50;
    await expect(call(client, ALLOCATE, allocate, request('a'), { deadline })).rejects.toMatchObject({
      code: 4,
    });
  });
});

describe('our client at a grpc-js server', () => {
  type Answer = (error: Partial<ServiceError> | null, answer?: Buffer) => void;

  async function peer(allocate: (ids: string[], answer: Answer) => void, options = {}) {
    const path = join(dir, 's.sock');
    const server = new Server(options);
    server.addService(
      {
        allocate: {
          path: ALLOCATE,
          requestStream: false,
          responseStream: false,
          requestSerialize: (bytes: Buffer) => bytes,
          requestDeserialize: (bytes: Buffer) => decode(AllocateRequest, bytes),
          responseSerialize: (bytes: Buffer) => bytes,
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      },
      {
        allocate: (call: { request: AllocateRequest }, answer: Answer) =>
          allocate(
            call.request.containerRequests.flatMap(({ devicesIds }) => devicesIds),
            answer,
          ),
      },
    );
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    const client = unixClient(DevicePlugin, path);
    cleanUp.push(
      () => server.forceShutdown(),
      () => client.close(),
    );
    return { client, server };
  }
  const answerOf = (ids: string) =>
    Buffer.from(encode(AllocateResponse, { containerResponses: [{ envs: { IDS: ids } }] }));

  test('unary calls, side by side, and messages beyond the windows', async () => {
    const { client } = await peer((ids, answer) => answer(null, answerOf(ids.join())));
    const sent = ['a', 'b', big, 'c'];
    const answers = await Promise.all(sent.map((id) => client.call.allocate(request(id))));
    expect(answers.map(({ containerResponses }) => containerResponses[0]?.envs['IDS']?.length)).toEqual(
      sent.map(({ length }) => length),
    );
  });

  test('a status with text in any script', async () => {
    const { client } = await peer((_, answer) =>
      answer({ code: Status.FAILED_PRECONDITION, details: '50 % „später“' }),
    );
    await expect(client.call.allocate({})).rejects.toMatchObject({
      status: 'FAILED_PRECONDITION',
      details: '50 % „später“',
    });
  });

  test('an answer above 4 MiB is RESOURCE_EXHAUSTED', async () => {
    const { client } = await peer((_, answer) => answer(null, answerOf('x'.repeat(5 * 1024 * 1024))), {
      'grpc.max_send_message_length': -1,
    });
    await expect(client.call.allocate({})).rejects.toMatchObject({ status: 'RESOURCE_EXHAUSTED' });
  });

  test('a method that is not there', async () => {
    const { client } = await peer(() => undefined);
    await expect(client.call.preStartContainer({})).rejects.toMatchObject({ status: 'UNIMPLEMENTED' });
  });

  test('a deadline, an abort, and a server that goes away', async () => {
    const { client, server } = await peer(() => undefined);
    await expect(client.call.allocate({}, { timeoutMs: 30 })).rejects.toMatchObject({
      status: 'DEADLINE_EXCEEDED',
    });
    await expect(client.call.allocate({}, { signal: AbortSignal.timeout(30) })).rejects.toMatchObject({
      status: 'CANCELLED',
    });
    const cut = client.call.allocate({});
    setTimeout(() => server.forceShutdown(), 50);
    // Both codes are what a cut call gets by the gRPC rules, by whether the stream or the connection ends first.
    await expect(cut).rejects.toMatchObject({
      status: expect.stringMatching(/^(UNAVAILABLE|CANCELLED)$/) as unknown,
    });
  });
});
