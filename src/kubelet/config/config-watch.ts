import { dirname } from 'node:path';
import { messageOf } from '../../errors.js';
import type { Log } from '../../log/log.js';
import { DirectoryWatch } from '../directory-watch.js';
import type { Feed } from '../feed.js';
import type { AgentConfig } from './agent-config.js';
import { readConfig } from './config-file.js';

export interface ReloadHooks {
  /** Throws where the configuration does not do for the devices of this host. */
  readonly check: (config: AgentConfig) => void;
  readonly onReload: (taken: boolean, reason?: string) => void;
}

/**
 * Reads the file again whenever something in its directory changed, until the signal aborts: a ConfigMap replaces
 * a link beside it and never the file. What is not valid changes nothing but the log.
 */
export async function followConfig(
  file: string,
  feed: Feed<AgentConfig>,
  log: Log,
  hooks: ReloadHooks,
  signal: AbortSignal,
): Promise<void> {
  const watch = new DirectoryWatch(dirname(file));
  let complaint: string | undefined;
  try {
    while (!signal.aborted) {
      await watch.hint(signal);
      const before = complaint;
      complaint = await reload(file, feed, before, log, hooks);
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
  { check, onReload }: ReloadHooks,
): Promise<string | undefined> {
  try {
    const config = await readConfig(file);
    check(config);
    const changed = feed.set(config);
    if (changed || before !== undefined) {
      log.info('The configuration was read again.', { file });
      onReload(true);
    }
    return undefined;
  } catch (error) {
    const reason = messageOf(error);
    if (reason !== before) {
      log.error('The new configuration is refused; the former stays in force.', { file, reason });
      onReload(false, reason);
    }
    return reason;
  }
}
