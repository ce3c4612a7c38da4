import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectHttp2, constants } from 'node:http2';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { Callbacks } from '../src/gen/kubevirt/hooks/v1alpha3/api_pb.js';
import { Info } from '../src/gen/kubevirt/hooks/info/api_pb.js';
import { unixClient } from '../src/grpc/client.js';
import { hookRewriter } from '../src/kubevirt/hook/rewrite.js';
import { serveHook, type RunningHook } from '../src/kubevirt/hook/serve-hook.js';
import { renderAnnotation } from '../src/kubevirt/write-resolved.js';
import { oneGpu } from './fixtures/domain/documents.js';
import { graceHost } from './fixtures/domain/host.js';

/** Peers of the hook's socket that are slow, silent or gone: virt-launcher is answered all the same. */

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const DOMAIN = Buffer.from(oneGpu());
const VMI = Buffer.from(
  JSON.stringify({
    metadata: { name: 'vm', annotations: { 'vsmmu.io/resolved': renderAnnotation(graceHost(), 'gpu-7') } },
  }),
);

let dir: string;
let hook: RunningHook;
let peers: Socket[];

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'hook-'));
  peers = [];
  hook = await serveHook({
    socketDir: dir,
    env: { CONTAINER_NAME: 'hook-sidecar-0' },
    rewrite: hookRewriter({}),
    onFailure: () => undefined,
  });
});
afterEach(async () => {
  for (const peer of peers) peer.destroy();
  await hook.close();
  rmSync(dir, { recursive: true, force: true });
});

async function peer(): Promise<Socket> {
  const socket = createConnection(hook.socketPath);
  peers.push(socket);
  socket.on('error', () => undefined);
  socket.resume();
  await once(socket, 'connect');
  return socket;
}

/** Info within the second that virt-launcher grants it, and a whole domain; on a loaded machine in its own time. */
async function launcherIsServed(): Promise<void> {
  const info = unixClient(Info, hook.socketPath);
  expect((await info.call.info({}, { timeoutMs: 20_000 })).name).toBe('vsmmu');
  info.close();
  const callbacks = unixClient(Callbacks, hook.socketPath);
  const { domainXML } = await callbacks.call.onDefineDomain(
    { domainXML: DOMAIN, vmi: VMI },
    { timeoutMs: 20_000 },
  );
  callbacks.close();
  expect(Buffer.from(domainXML).toString()).toMatch(/ssidsize='\d+'/);
}

test('a hundred connections that never say a word', async () => {
  await Promise.all(Array.from({ length: 100 }, peer));
  await launcherIsServed();
});

test('half-open peers: a preface and no more', async () => {
  for (let count = 0; count < 20; count++) (await peer()).write(Buffer.concat([PREFACE, SETTINGS]));
  await launcherIsServed();
});

test('a peer that sends a byte at a time', async () => {
  const slow = await peer();
  let at = 0;
  const drip = setInterval(() => slow.write(PREFACE.subarray(at, ++at)), 5);
  while (at < 3) await setTimeout(5);
  await launcherIsServed();
  clearInterval(drip);
});

test('a peer that never reads its answer holds up nobody, and does not keep the hook from closing', async () => {
  const session = connectHttp2('http://localhost', {
    createConnection: () => createConnection(hook.socketPath),
    settings: { initialWindowSize: 0 },
  });
  session.on('error', () => undefined);
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: '/kubevirt.hooks.info.Info/Info',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => undefined);
  stream.end(Buffer.alloc(5));
  await once(session, 'connect');
  await launcherIsServed();
  await hook.close();
  session.destroy();
});

test('peers that go in the middle of a message', async () => {
  for (let count = 0; count < 20; count++) {
    const gone = await peer();
    // HEADERS that announce 1,000 bytes, of which ten come.
    gone.write(
      Buffer.concat([PREFACE, SETTINGS, Buffer.from([0, 3, 232, 1, 4, 0, 0, 0, 1]), Buffer.alloc(10)]),
    );
    gone.destroy();
  }
  await launcherIsServed();
});

test('not HTTP/2 at all', async () => {
  for (const text of ['GET / HTTP/1.1\r\n\r\n', '\u0000\u0001\u0002', readFileSync('package.json', 'utf8')]) {
    const stranger = await peer();
    stranger.write(text);
  }
  await launcherIsServed();
});
