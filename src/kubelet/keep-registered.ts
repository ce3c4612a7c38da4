import { join } from 'node:path';
import { messageOf } from '../errors.js';
import { serveUnix, type ServedService, type UnixServer } from '../grpc/server.js';
import type { Log } from '../log/log.js';
import { Backoff } from './backoff.js';
import { Complaint } from './complaint.js';
import type { DirectoryWatch } from './directory-watch.js';
import { register, socketIdentity, type KubeletDirectories } from './registration.js';
import { socketName, type ResourceName } from './resource-name.js';
import { StreamCount } from './stream-count.js';

export interface Registered {
  readonly resource: ResourceName;
  /** The service for one server; it counts the server's device streams. */
  readonly serviceFor: (streams: StreamCount) => ServedService;
  readonly directories: KubeletDirectories;
  /** Of the directory that has the socket; shared by all resources. */
  readonly watch: DirectoryWatch;
  readonly log: Log;
  readonly onServing: (socket: string) => void;
  readonly onRegistered: () => void;
  readonly onRefused: () => void;
}

/** The kubelet opens ListAndWatch right after Register; without a stream for so long, it has lost us. */
const STREAM_TIMEOUT_MS = 10_000;

/**
 * Keeps one resource registered until the signal aborts: serves, registers, and does both again whenever the
 * kubelet restarted, our socket vanished, or the kubelet let go of the device stream while the socket still
 * stands (nothing else ever tells: capacity would be 0 for good).
 *
 * The old server is always closed before the new one registers: a kubelet up to 1.36 that sees the old stream
 * end after a new registration disconnects the new plugin (kubernetes/kubernetes#135437).
 */
export async function keepRegistered(plugin: Registered, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff();
  const complaint = new Complaint();
  while (!signal.aborted) {
    const started = performance.now();
    const lost = await oneRegistration(plugin, backoff, complaint, signal);
    if (lost !== undefined)
      plugin.log.info('Registration ended.', { resource: plugin.resource, reason: lost });
    // One that held is no sign of trouble; one that ends at once must not become a busy loop.
    if (performance.now() - started > STREAM_TIMEOUT_MS) backoff.reset();
    await plugin.watch.hint(signal, backoff.next());
  }
}

/** @returns why the registration ended; undefined: there was none. */
async function oneRegistration(
  plugin: Registered,
  backoff: Backoff,
  complaint: Complaint,
  signal: AbortSignal,
): Promise<string | undefined> {
  const streams = new StreamCount(() => plugin.watch.nudge());
  let server: UnixServer;
  try {
    server = await serve(plugin, streams);
  } catch (error) {
    const { resource, log } = plugin;
    const reason = messageOf(error);
    if (complaint.isNew(reason))
      log.error('The socket of the device plugin cannot be served.', { resource, reason });
    return undefined;
  }
  complaint.settle();
  plugin.onServing(server.path);
  try {
    const kubelet = await registerUntilTaken(plugin, server, backoff, signal);
    return kubelet === undefined
      ? 'its socket was removed'
      : await untilLost(plugin, server, streams, kubelet, signal);
  } finally {
    await server.close();
  }
}

function serve(
  { resource, serviceFor, directories, log }: Registered,
  streams: StreamCount,
): Promise<UnixServer> {
  return serveUnix(join(directories.devicePlugins, socketName(resource)), [serviceFor(streams)], {
    onFailure: (path, error) => log.debug('A call failed.', { resource, path, reason: messageOf(error) }),
  });
}

/** @returns identity of the kubelet that took the registration; undefined: our socket is gone, or we stop. */
async function registerUntilTaken(
  plugin: Registered,
  server: UnixServer,
  backoff: Backoff,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { resource, directories, watch, log } = plugin;
  const complaint = new Complaint();
  while (!signal.aborted && server.isInPlace()) {
    const kubelet = socketIdentity(directories.kubeletSocket);
    try {
      if (kubelet === undefined) throw new Error(`${directories.kubeletSocket} is not there`);
      await register(directories.kubeletSocket, server.path, resource);
      log.info('Registered with the kubelet.', { resource });
      plugin.onRegistered();
      return kubelet;
    } catch (error) {
      const reason = messageOf(error);
      if (complaint.isNew(reason)) log.warn('Not registered yet; trying on.', { resource, reason });
      plugin.onRefused();
    }
    // A kubelet that is not there yet is waited for, not backed off from: its socket's appearance is a hint.
    await watch.hint(signal, kubelet === undefined ? undefined : backoff.next());
  }
  return undefined;
}

/** Waits until the kubelet, or our place in its directory, is not what it was. */
async function untilLost(
  { directories, watch }: Registered,
  server: UnixServer,
  streams: StreamCount,
  kubelet: string,
  signal: AbortSignal,
): Promise<string> {
  const registered = performance.now();
  for (;;) {
    const patience = registered + STREAM_TIMEOUT_MS - performance.now();
    if (signal.aborted) return 'the agent stops';
    if (!server.isInPlace()) return 'its socket was removed';
    const now = socketIdentity(directories.kubeletSocket);
    if (now !== undefined && now !== kubelet) return 'the kubelet restarted';
    if (streams.everOpened && streams.open === 0) return 'the kubelet ended the device stream';
    if (!streams.everOpened && patience <= 0) return 'the kubelet opened no device stream';
    await watch.hint(signal, streams.everOpened ? undefined : patience);
  }
}
