import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { joinSignals } from '../../cluster/joined-signal.js';
import { messageOf } from '../../errors.js';
import { serveUnix, type ServedService, type UnixServer } from '../../grpc/server.js';
import { pause } from '../../host/pause.js';
import type { Log } from '../../log/log.js';
import { Backoff } from '../backoff.js';
import { DirectoryWatch } from '../directory-watch.js';
import { pluginInfoService } from '../plugin-info.js';
import type { KubeletDirectories } from '../registration.js';
import { DRA_DRIVER } from '../../cluster/dra-resources.js';
import { DRA_VERSIONS } from './dra-services.js';

/** Sockets that cannot be made are tried again at least so often: a registry folder that comes is noticed in time. */
const RETRY_MOST_MS = 1000;

export interface DraSocketsOptions {
  readonly directories: KubeletDirectories;
  readonly services: readonly ServedService[];
  readonly log: Log;
  readonly onRegistered: (registered: boolean) => void;
}

/**
 * Serves the driver, then shows the kubelet's plugin watcher where, until the signal aborts; both anew when either
 * socket is gone. The kubelet finds the registration socket again by itself after its own restart.
 */
export async function keepDraSockets(options: DraSocketsOptions, signal: AbortSignal): Promise<void> {
  const { plugins, pluginsRegistry } = options.directories;
  const endpoint = join(plugins, DRA_DRIVER, 'dra.sock');
  const watches = [new DirectoryWatch(dirname(endpoint)), new DirectoryWatch(pluginsRegistry)];
  const backoff = new Backoff();
  try {
    while (!isAborted(signal)) {
      const servers = await serveBoth(endpoint, options);
      if (servers.length === 2) {
        backoff.reset();
        await untilGone(servers, watches, signal);
      }
      options.onRegistered(false);
      await Promise.all(servers.map((server) => server.close()));
      // No hint is waited for here: our own sockets, made and removed in a failed attempt, would be one.
      await pause(Math.min(backoff.next(), RETRY_MOST_MS), signal);
    }
  } finally {
    for (const watch of watches) watch.close();
  }
}

async function untilGone(
  servers: readonly UnixServer[],
  watches: readonly DirectoryWatch[],
  signal: AbortSignal,
): Promise<void> {
  while (!isAborted(signal) && servers.every((server) => server.isInPlace())) await anyHint(watches, signal);
}

/** @returns both servers, or those that could be made. */
async function serveBoth(endpoint: string, options: DraSocketsOptions): Promise<UnixServer[]> {
  const { directories, services, log, onRegistered } = options;
  const info = { type: 'DRAPlugin', name: DRA_DRIVER, endpoint, versions: DRA_VERSIONS } as const;
  const registration = pluginInfoService(info, (registered, error) => {
    onRegistered(registered);
    if (registered) log.info('The kubelet took the DRA driver.');
    else log.warn('The kubelet refused the DRA driver.', { reason: error });
  });
  const onFailure = (path: string, error: unknown) =>
    log.debug('A call failed.', { path, reason: messageOf(error) });
  const servers: UnixServer[] = [];
  try {
    await mkdir(dirname(endpoint), { recursive: true, mode: 0o750 });
    servers.push(await serveUnix(endpoint, services, { onFailure }));
    servers.push(
      await serveUnix(join(directories.pluginsRegistry, `${DRA_DRIVER}-reg.sock`), [registration]),
    );
  } catch (error) {
    log.error("The DRA driver's sockets cannot be served.", { reason: messageOf(error) });
  }
  return servers;
}

/** Asked anew: the compiler takes a signal's state for constant. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function anyHint(watches: readonly DirectoryWatch[], signal: AbortSignal): Promise<void> {
  const settled = new AbortController();
  const stop = joinSignals(signal, settled.signal);
  await Promise.race(watches.map((watch) => watch.hint(stop.signal)));
  settled.abort();
}
