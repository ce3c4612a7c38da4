import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VsmmuError } from '../errors.js';
import { DevicePlugin } from '../gen/kubelet/deviceplugin/v1beta1/api_pb.js';
import { unixClient } from './client.js';
import { serveUnix, service, type ServiceHandlers, type UnixServer } from './server.js';
import { RpcError } from './status.js';

let dir: string;
const servers: UnixServer[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  rmSync(dir, { recursive: true });
});

const idle: ServiceHandlers<typeof DevicePlugin> = {
  getDevicePluginOptions: () => ({ preStartRequired: true }),
  listAndWatch: async function* () {
    yield await Promise.resolve({ devices: [] });
  },
  getPreferredAllocation: () => ({}),
  allocate: () => ({}),
  preStartContainer: () => ({}),
};

async function serve(
  handlers: Partial<ServiceHandlers<typeof DevicePlugin>> = {},
  options: Parameters<typeof serveUnix>[2] = {},
) {
  const path = join(dir, 's.sock');
  const server = await serveUnix(path, [service(DevicePlugin, { ...idle, ...handlers })], options);
  servers.push(server);
  return { path, server };
}

function deferred<T>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('it was expected to fail');
    },
    (error: unknown) => error,
  );
}

describe('unary calls', () => {
  test('carry the request and the answer', async () => {
    const { path } = await serve({
      allocate: ({ containerRequests }) => ({
        containerResponses: containerRequests.map(({ devicesIds }) => ({ envs: { IDS: devicesIds.join() } })),
      }),
    });
    const client = unixClient(DevicePlugin, path);
    const answer = await client.call.allocate({ containerRequests: [{ devicesIds: ['a', 'b'] }] });
    client.close();
    expect(answer.containerResponses.map(({ envs }) => envs)).toEqual([{ IDS: 'a,b' }]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('boom');
      },
      'INTERNAL',
      'boom',
    ],
    ['rejects', () => Promise.reject(new Error('boom')), 'INTERNAL', 'boom'],
    [
      'rejects with a status',
      () => Promise.reject(new RpcError('NOT_FOUND', 'no such device')),
      'NOT_FOUND',
      'no such device',
    ],
    [
      'rejects with a VsmmuError',
      () =>
        Promise.reject(
          new VsmmuError('DEVICE_ATS', 'It has none.', { place: '0000:01:00.0', remedy: 'Ask for less.' }),
        ),
      'FAILED_PRECONDITION',
      'DEVICE_ATS: 0000:01:00.0: It has none. Remedy: Ask for less.',
    ],
  ] as const)(
    'a handler that %s gives a status, and the server lives on',
    async (_, getDevicePluginOptions, status, details) => {
      const failures: string[] = [];
      const { path } = await serve(
        { getDevicePluginOptions },
        { onFailure: (method) => failures.push(method) },
      );
      const client = unixClient(DevicePlugin, path);
      const error = await rejection(client.call.getDevicePluginOptions({}));
      expect(error).toMatchObject({ name: 'RpcError', status });
      expect((error as RpcError).details).toMatch(details);
      expect(failures).toEqual(['/v1beta1.DevicePlugin/GetDevicePluginOptions']);
      await client.call.preStartContainer({});
      client.close();
    },
  );

  test('the handler sees the deadline, and its signal aborts when that passes', async () => {
    const seen = deferred<{ deadline: Date | undefined; reason: unknown }>();
    const { path } = await serve({
      allocate: (_, { signal, deadline }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            seen.resolve({ deadline, reason: signal.reason });
            resolve({});
          });
        }),
    });
    const client = unixClient(DevicePlugin, path);
    expect(await rejection(client.call.allocate({}, { timeoutMs: 50 }))).toMatchObject({
      status: 'DEADLINE_EXCEEDED',
    });
    const { deadline, reason } = await seen.promise;
    expect(deadline).toBeInstanceOf(Date);
    // Whichever is first: the peer's word that it gave up, or the server's own clock.
    expect(['CANCELLED', 'DEADLINE_EXCEEDED']).toContain((reason as RpcError).status);
    client.close();
  });

  test('a call without a deadline has none', async () => {
    let deadline: Date | undefined = new Date(0);
    const { path } = await serve({
      allocate: (_, call) => {
        deadline = call.deadline;
        return {};
      },
    });
    const client = unixClient(DevicePlugin, path);
    await client.call.allocate({});
    client.close();
    expect(deadline).toBeUndefined();
  });

  test('a missing socket is UNAVAILABLE, and the same client reaches it once it is there', async () => {
    const client = unixClient(DevicePlugin, join(dir, 's.sock'));
    expect(await rejection(client.call.preStartContainer({}))).toMatchObject({ status: 'UNAVAILABLE' });
    client.close();
    await serve();
    const again = unixClient(DevicePlugin, join(dir, 's.sock'));
    await again.call.preStartContainer({});
    again.close();
  });
});

describe('streams', () => {
  test('every message arrives, in order, through a slow reader', async () => {
    const total = 2000;
    const { path } = await serve({
      listAndWatch: async function* () {
        for (let n = 0; n < total; n++) {
          yield await Promise.resolve({ devices: [{ ID: String(n), health: 'x'.repeat(2000) }] });
        }
      },
    });
    const client = unixClient(DevicePlugin, path);
    const ids: string[] = [];
    for await (const { devices } of client.call.listAndWatch({})) {
      ids.push(devices[0]!.ID);
      if (ids.length % 500 === 0) await new Promise(setImmediate);
    }
    client.close();
    expect(ids).toEqual(Array.from({ length: total }, (_, n) => String(n)));
  });

  test('a failing stream delivers what came before, then its status', async () => {
    const { path } = await serve({
      listAndWatch: async function* () {
        yield await Promise.resolve({ devices: [{ ID: 'one' }] });
        throw new RpcError('ABORTED', 'gone');
      },
    });
    const client = unixClient(DevicePlugin, path);
    const ids: string[] = [];
    const error = await rejection(
      (async () => {
        for await (const { devices } of client.call.listAndWatch({})) ids.push(devices[0]!.ID);
      })(),
    );
    client.close();
    expect(ids).toEqual(['one']);
    expect(error).toMatchObject({ status: 'ABORTED', details: 'gone' });
  });

  test('a message that cannot be encoded ends the stream with INTERNAL, and the server lives on', async () => {
    const { path } = await serve({
      listAndWatch: async function* () {
        yield await Promise.resolve({ devices: [{ topology: { nodes: [{ ID: 2n ** 70n }] } }] });
      },
    });
    const client = unixClient(DevicePlugin, path);
    const stream = client.call.listAndWatch({})[Symbol.asyncIterator]();
    expect(await rejection(stream.next())).toMatchObject({ status: 'INTERNAL' });
    await client.call.preStartContainer({});
    client.close();
  });

  test("the peer's leaving aborts the handler's signal", async () => {
    const left = deferred<unknown>();
    const { path } = await serve({
      listAndWatch: async function* (_, { signal }) {
        signal.addEventListener('abort', () => left.resolve(signal.reason));
        yield { devices: [] };
        await new Promise(() => undefined);
      },
    });
    const client = unixClient(DevicePlugin, path);
    for await (const message of client.call.listAndWatch({})) {
      expect(message.devices).toEqual([]);
      break;
    }
    client.close();
    expect(await left.promise).toMatchObject({ status: 'CANCELLED' });
  });
});

describe('closing', () => {
  test('ends an idle stream, lets a running call finish, removes the socket', async () => {
    const called = deferred<undefined>();
    const finish = deferred<object>();
    const { path, server } = await serve(
      {
        listAndWatch: async function* () {
          yield { devices: [] };
          await new Promise(() => undefined);
        },
        allocate: () => {
          called.resolve(undefined);
          return finish.promise;
        },
      },
      { graceMs: 20_000 },
    );
    const client = unixClient(DevicePlugin, path);
    const stream = (async () => {
      let messages = 0;
      for await (const { devices } of client.call.listAndWatch({})) messages += 1 + devices.length;
      return messages;
    })();
    const call = client.call.allocate({});
    await called.promise;
    const closed = server.close();
    expect(existsSync(path)).toBe(false);
    finish.resolve({ containerResponses: [{}] });
    expect((await call).containerResponses).toHaveLength(1);
    expect(await stream).toBe(1);
    await closed;
    await server.close();
    client.close();
  });

  test('cuts a call that outlasts the grace period', async () => {
    const called = deferred<undefined>();
    const { path, server } = await serve(
      {
        allocate: () => {
          called.resolve(undefined);
          return new Promise(() => undefined);
        },
      },
      { graceMs: 20 },
    );
    const client = unixClient(DevicePlugin, path);
    const call = rejection(client.call.allocate({}));
    await called.promise;
    await server.close();
    expect(await call).toBeInstanceOf(RpcError);
    client.close();
  });

  test("leaves a successor's socket alone", async () => {
    const { server: old } = await serve();
    expect(old.isInPlace()).toBe(true);
    const { path } = await serve();
    expect(old.isInPlace()).toBe(false);
    await old.close();
    const client = unixClient(DevicePlugin, path);
    await client.call.preStartContainer({});
    client.close();
  });
});

describe('the socket file', () => {
  test.each([
    ['0600 by default', undefined, 0o600, 0o000],
    ['what is asked', 0o666, 0o666, 0o077],
  ])('has mode %s, whatever the umask', async (_, mode, expected, umask) => {
    const before = process.umask(umask);
    try {
      const { path } = await serve({}, mode === undefined ? {} : { mode });
      expect((statSync(path).mode & 0o777).toString(8)).toBe(expected.toString(8));
      writeFileSync(join(dir, 'later'), '');
      expect(statSync(join(dir, 'later')).mode & 0o777).toBe(0o666 & ~umask);
    } finally {
      process.umask(before);
    }
  });

  test('replaces a stale socket and leaves no other file', async () => {
    const path = join(dir, 's.sock');
    const bindAndDie = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', bindAndDie]);
    expect(lstatSync(path).isSocket()).toBe(true);
    await serve();
    const client = unixClient(DevicePlugin, path);
    await client.call.preStartContainer({});
    client.close();
    expect(readdirSync(dir)).toEqual(['s.sock']);
  });

  test('does not replace what is no socket', async () => {
    const path = join(dir, 's.sock');
    writeFileSync(path, 'precious');
    expect(await rejection(serve())).toMatchObject({ code: 'SOCKET_PATH_TAKEN', place: path });
    expect(lstatSync(path).size).toBe(8);
    expect(readdirSync(dir)).toEqual(['s.sock']);
  });

  test.each([
    ['too long a path', 'x'.repeat(120), 'SOCKET_PATH_TOO_LONG'],
    ['a missing directory', 'none/s.sock', 'SOCKET_UNUSABLE'],
  ])('%s is a clear error', async (_, name, code) => {
    const error = await rejection(serveUnix(join(dir, name), []));
    expect(error).toMatchObject({ name: 'VsmmuError', code, place: join(dir, name) });
  });

  const unprivileged = process.getuid?.() === 0 ? test.skip : test;
  unprivileged(
    'an unwritable directory is a clear error (skipped for root, whom no mode stops)',
    async () => {
      chmodSync(dir, 0o500);
      expect(await rejection(serve())).toMatchObject({ code: 'SOCKET_UNUSABLE' });
      chmodSync(dir, 0o700);
    },
  );
});
