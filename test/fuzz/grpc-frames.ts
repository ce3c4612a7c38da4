import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Info } from '../../src/gen/kubevirt/hooks/info/api_pb.js';
import { unixClient } from '../../src/grpc/client.js';
import { serveUnix } from '../../src/grpc/server.js';
import { failed } from '../../src/host/host-source.js';
import type { DeviceList } from '../../src/kubelet/device-list.js';
import { Feed } from '../../src/kubelet/feed.js';
import { GroupClaims } from '../../src/kubelet/group-claims.js';
import { devicePluginService } from '../../src/kubelet/plugin-server.js';
import { parseResourceName } from '../../src/kubelet/resource-name.js';
import { hookRewriter } from '../../src/kubevirt/hook/rewrite.js';
import { domainHookService, nodeHookService } from '../../src/kubevirt/hook/plugin-services.js';
import { hookServices } from '../../src/kubevirt/hook/services.js';
import { silentLog } from '../../src/log/log.js';
import { Input } from './input.js';

const PATHS = [
  '/v1beta1.DevicePlugin/Allocate',
  '/v1beta1.DevicePlugin/GetPreferredAllocation',
  '/kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain',
  '/kubevirt.hooks.v1alpha2.Callbacks/PreCloudInitIso',
  '/kubevirt.hooks.info.Info/Info',
  '/v1beta1.DevicePlugin/GetDevicePluginOptions',
] as const;
/** The client's preface and an empty SETTINGS frame (RFC 9113, 3.4): without them no server reads on. */
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);
const PATIENCE_MS = 10_000;

interface Served {
  readonly socket: string;
  readonly close: () => Promise<void>;
  readonly session: ClientHttp2Session;
  readonly alive: () => Promise<void>;
}
let served: Promise<Served> | undefined;

/**
 * Bytes on the sockets of kubelet and virt-launcher: a gRPC body for a method of ours, or whatever else behind the HTTP/2
 * preface. Every call is answered with a status, and whatever a peer sends, the next one is served.
 */
export async function fuzz(data: Uint8Array): Promise<void> {
  const { socket, session, alive } = await (served ??= serve());
  const input = new Input(data);
  const kind = input.pick(['message', 'body', 'frames'] as const);
  const path = input.pick(PATHS);
  const bytes = Buffer.from(input.rest());
  if (kind === 'frames') {
    await sendRaw(socket, bytes);
    await alive();
    return;
  }
  const status = await post(session, path, kind === 'message' ? framed(bytes) : bytes);
  assert.match(status, /^\d{1,2}$/, `${path} is answered with a status`);
}

/** Ends the server that all runs share. */
export async function close(): Promise<void> {
  await (await served)?.close();
}

async function serve(): Promise<Served> {
  const dir = mkdtempSync(join(tmpdir(), 'vsmmu-fuzz-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const socket = join(dir, 's');
  const nothing = failed<never>('ENOENT', 'there is no host here');
  const rewrite = hookRewriter({});
  const server = await serveUnix(socket, [
    ...hookServices(rewrite, () => undefined),
    domainHookService(rewrite),
    nodeHookService(),
    devicePluginService({
      resource: parseResourceName('vsmmu.io/fuzz'),
      feed: new Feed<DeviceList>([], () => ''),
      events: { streamOpened: () => undefined, streamEnded: () => undefined, allocated: () => undefined },
      log: silentLog,
      source: { readLink: () => nothing, list: () => nothing, exists: () => nothing },
      claims: new GroupClaims(),
      settings: { iommufd: 'auto', cdi: undefined },
    }),
  ]);
  const session = connectHttp2('http://localhost', { createConnection: () => createConnection(socket) });
  session.unref();
  await once(session, 'connect');
  const alive = async () => {
    const client = unixClient(Info, socket);
    const { name } = await client.call.info({}, { timeoutMs: PATIENCE_MS });
    client.close();
    assert.equal(name, 'vsmmu');
  };
  const close = async () => {
    session.destroy();
    await server.close();
  };
  return { socket, session, alive, close };
}

/** A message as gRPC sends it: not compressed, its length, itself. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** @returns grpc-status, or what ended the call without one */
async function post(session: ClientHttp2Session, path: string, body: Buffer): Promise<string> {
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  let status: string | undefined;
  const take = (headers: Record<string, unknown>) => {
    const told = headers['grpc-status'];
    if (typeof told === 'string') status = told;
  };
  stream
    .on('response', take)
    .on('trailers', take)
    .on('error', () => undefined);
  const timer = setTimeout(() => stream.close(), PATIENCE_MS);
  stream.resume();
  stream.end(body);
  await once(stream, 'close');
  clearTimeout(timer);
  return status ?? 'no status';
}

/** Sends the bytes as frames and waits until the server has read them or cut the connection. */
async function sendRaw(socket: string, bytes: Buffer): Promise<void> {
  const peer = createConnection(socket);
  peer.on('error', () => undefined);
  peer.resume();
  peer.end(Buffer.concat([PREFACE, bytes]));
  const timer = setTimeout(() => peer.destroy(), 200);
  await once(peer, 'close');
  clearTimeout(timer);
}
