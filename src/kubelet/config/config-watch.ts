import { dirname } from 'node:path';
import { messageOf } from '../../errors.js';
import { ChangeBell } from '../../host/change-bell.js';
import { FolderHints } from '../../host/hints.js';
import type { Log } from '../../log/log.js';
import { Feed } from '../feed.js';
import type { AgentConfig } from './agent-config.js';
import { parseConfig, readConfigText } from './config-file.js';

export interface ReloadHooks {
  /** Throws where the configuration does not do for the devices of this host. */
  readonly check: (config: AgentConfig) => void;
  readonly onReload: (taken: boolean, reason?: string) => void;
}

/** Without inotify, a file that is written in place shows in nothing but its content. */
const LOOK_MS = 10_000;

/**
 * Reads the file, and reads it again whenever something in its directory changed, until the signal aborts: a ConfigMap
 * replaces a link beside it and never the file. Later, what is not valid changes nothing but the log.
 *
 * @throws VsmmuError CONFIG_UNREADABLE, CONFIG_MALFORMED for the file as it is first
 */
export async function followConfig(
  file: string,
  log: Log,
  hooks: ReloadHooks,
  signal: AbortSignal,
): Promise<Feed<AgentConfig>> {
  // Listening before the first read: a change in between would else be missed. What is written in steps settles first.
  const bell = new ChangeBell({ hints: [new FolderHints([dirname(file)])], rescanMs: LOOK_MS });
  try {
    const text = await readConfigText(file);
    const feed = new Feed(parseConfig(text, file), JSON.stringify);
    void keepReading(file, text, feed, bell, log, hooks, signal);
    return feed;
  } catch (error) {
    bell.close();
    throw error;
  }
}

async function keepReading(
  file: string,
  first: string,
  feed: Feed<AgentConfig>,
  bell: ChangeBell,
  log: Log,
  { check, onReload }: ReloadHooks,
  signal: AbortSignal,
): Promise<void> {
  let seen: string | undefined = first;
  let complaint: string | undefined;
  while ((await bell.next(signal)) !== 'end') {
    try {
      const text = await readConfigText(file);
      if (text === seen && complaint === undefined) continue;
      seen = text;
      const config = parseConfig(text, file);
      check(config);
      const changed = feed.set(config);
      if (!changed && complaint === undefined) continue;
      complaint = undefined;
      log.info('The configuration was read again.', { file });
      onReload(true);
    } catch (error) {
      const reason = messageOf(error);
      if (reason === complaint) continue;
      complaint = reason;
      log.error('The new configuration is refused; the former stays in force.', { file, reason });
      onReload(false, reason);
    }
  }
  bell.close();
}
