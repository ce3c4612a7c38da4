import { dirname } from 'node:path';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log/log.js';
import { DirectoryWatch } from '../directory-watch.js';
import type { Feed } from '../feed.js';
import type { AgentConfig } from './agent-config.js';
import { readConfig } from './config-file.js';

/**
 * Reads the file again whenever something in its directory changed, until the signal aborts: a ConfigMap replaces
 * a link beside it and never the file. What is not valid changes nothing but the log.
 */
export async function followConfig(
  file: string,
  feed: Feed<AgentConfig>,
  log: Log,
  onReload: (taken: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  const watch = new DirectoryWatch(dirname(file));
  let complaint: string | undefined;
  try {
    while (!signal.aborted) {
      await watch.hint(signal);
      const before = complaint;
      complaint = await reload(file, feed, before, log, onReload);
    }
  } finally {
    watch.close();
  }
}

/** @returns why the file as it is now is refused. */
async function reload(
  file: string,
  feed: Feed<AgentConfig>,
  before: string | undefined,
  log: Log,
  onReload: (taken: boolean) => void,
): Promise<string | undefined> {
  try {
    const changed = feed.set(await readConfig(file));
    if (changed || before !== undefined) {
      log.info('The configuration was read again.', { file });
      onReload(true);
    }
    return undefined;
  } catch (error) {
    const reason = messageOf(error);
    if (reason !== before) {
      log.error('The new configuration is refused; the former stays in force.', { file, reason });
      onReload(false);
    }
    return reason;
  }
}
