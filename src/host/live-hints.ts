import { FolderHints, type HintSource } from './hints.js';
import { UeventHints } from './uevents.js';

/** Folders in which device nodes come and go. */
const NODE_FOLDERS = ['/dev/vfio', '/dev/vfio/devices'];

/**
 * Everything by which this machine tells that devices came or went: kernel uevents where there are any to be had,
 * and inotify.
 * @param more folders to watch beside those of device nodes
 */
export async function liveHints(...more: readonly string[]): Promise<HintSource[]> {
  const folders = new FolderHints([...NODE_FOLDERS, ...more]);
  const uevents = await UeventHints.open();
  return uevents === undefined ? [folders] : [uevents, folders];
}
