import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parsePciConfigRecording } from '../../src/host/pci-config-recording.js';
import { parseSysfsRecording } from '../../src/host/sysfs-recording.js';

export const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Writes a recording's tree under `root` as real directories, links and files, for the live code to read. */
export function materialise(recording: string, root: string): void {
  const sysfs = parseSysfsRecording(readFileSync(join(recording, 'sysfs.txt'), 'utf8'));
  const { configs } = parsePciConfigRecording(readFileSync(join(recording, 'pci-config.txt'), 'utf8'));
  const paths = new Map(sysfs.entries);
  for (const [path, entry] of paths) {
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    if (entry.kind === 'directory') mkdirSync(at, { recursive: true });
    else if (entry.kind === 'link') symlinkSync(entry.target, at);
    else if (entry.kind === 'file')
      writeFileSync(at, entry.content, path.startsWith('/sys/firmware/') ? 'latin1' : 'utf8');
    else if (entry.kind === 'device' && !isParent(path, paths.keys())) writeFileSync(at, '');
  }
  for (const [bdf, bytes] of configs) {
    const at = join(root, '/sys/bus/pci/devices', bdf, 'config');
    rmSync(at, { force: true });
    writeFileSync(at, bytes);
  }
  mkdirSync(join(root, '/proc'), { recursive: true });
  if (sysfs.version !== undefined) writeFileSync(join(root, '/proc/version'), `${sysfs.version}\n`);
  mkdirSync(join(root, '/proc/sys/kernel/random'), { recursive: true });
  writeFileSync(join(root, BOOT_ID), '5c1f9d0e-0001-4000-8000-000000000001\n');
  if (sysfs.commandLine !== undefined) writeFileSync(join(root, '/proc/cmdline'), `${sysfs.commandLine}\n`);
}

/** A recording lists /dev/vfio/devices both as a node and as the folder of others. */
function isParent(path: string, others: Iterable<string>): boolean {
  for (const other of others) if (other.startsWith(`${path}/`)) return true;
  return false;
}
