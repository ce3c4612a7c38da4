import { join } from 'node:path';
import { messageOf } from '../errors.js';
import { serveUnix, type UnixServer } from '../grpc/server.js';
import { Backoff } from './backoff.js';
import { Complaint } from './complaint.js';
import type { Registered } from './keep-registered.js';
import { pluginInfoService } from './plugin-info.js';
import { socketName } from './resource-name.js';
import { StreamCount } from './stream-count.js';

/**
 * Keeps one resource where the kubelet's plugin watcher finds it, until the signal aborts. The kubelet comes by
 * itself, also after its own restart; what it can't know is that a stream ended while the socket stands, so the
 * socket is then made anew, which the watcher takes for a new plugin.
 */
export async function keepWatched(plugin: Registered, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff();
  const complaint = new Complaint();
  while (!signal.aborted) {
    const started = performance.now();
    const reason = await onePlacement(plugin, complaint, signal);
    if (reason !== undefined) plugin.log.info('Registration ended.', { resource: plugin.resource, reason });
    if (performance.now() - started > 10_000) backoff.reset();
    await plugin.watch.hint(signal, backoff.next());
  }
}

/** @returns why the placement ended; undefined: there was none. */
async function onePlacement(
  plugin: Registered,
  complaint: Complaint,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { resource, directories, watch, log } = plugin;
  const streams = new StreamCount(() => watch.nudge());
  let refusal: string | undefined;
  const info = pluginInfoService(
    { type: 'DevicePlugin', name: resource, endpoint: '', versions: ['v1beta1'] },
    (registered, error) => {
      if (registered) {
        log.info('Registered with the kubelet.', { resource });
        plugin.onRegistered();
      } else {
        log.warn('The kubelet refused the plugin.', { resource, reason: error });
        plugin.onRefused();
        refusal = error;
        watch.nudge();
      }
    },
  );
  let server: UnixServer;
  try {
    const path = join(directories.pluginsRegistry, socketName(resource));
    server = await serveUnix(path, [info, plugin.serviceFor(streams)]);
  } catch (error) {
    const reason = messageOf(error);
    if (complaint.isNew(reason))
      log.error('The socket of the device plugin cannot be served.', { resource, reason });
    return undefined;
  }
  complaint.settle();
  plugin.onServing(server.path);
  try {
    for (;;) {
      if (signal.aborted) return 'the agent stops';
      if (!server.isInPlace()) return 'its socket was removed';
      if (refusal !== undefined) return `the kubelet refused it: ${refusal}`;
      if (streams.everOpened && streams.open === 0) return 'the kubelet ended the device stream';
      await watch.hint(signal);
    }
  } finally {
    await server.close();
  }
}
