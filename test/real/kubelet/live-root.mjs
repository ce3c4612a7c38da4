import { execFile } from 'node:child_process';
import { link, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sysfsLines } from './recording.mjs';

const exec = promisify(execFile);

/**
 * A made-up host as files, to be mounted over /sys and /dev in a mount namespace: the agent then runs its live code,
 * and a test changes the host under it. Device nodes are character devices that answer no ioctl, so the SMMU's
 * features stay unknown here.
 */
export class LiveRoot {
  #folder;
  #anyNode;

  /** @param {string} folder @param {readonly import('./recording.mjs').Device[]} devices */
  static async create(folder, devices) {
    const root = new LiveRoot(folder);
    for (const path of ['sys/bus/pci/devices', 'dev/vfio/devices'])
      await mkdir(join(folder, path), { recursive: true });
    for (const line of sysfsLines(devices)) await root.#make(line);
    return root;
  }

  constructor(folder) {
    this.#folder = folder;
  }

  /** Command line that runs another one on this host. @param {readonly string[]} command */
  wrap(command) {
    const script = [
      'mount --rbind "$0/sys" /sys',
      'mount -t tmpfs none /dev',
      'mknod /dev/null c 1 3 && mknod /dev/zero c 1 5 && mknod /dev/random c 1 8 && mknod /dev/urandom c 1 9',
      'mkdir /dev/vfio && mount --bind "$0/dev/vfio" /dev/vfio',
      'exec "$@"',
    ].join(' && ');
    return ['unshare', '--mount', '/bin/sh', '-c', script, this.#folder, ...command];
  }

  /** Gives a device's node of /dev/vfio back. @param {string} path "vfio/3", "vfio/devices/vfio3" */
  async addNode(path) {
    await exec('mknod', [join(this.#folder, 'dev', path), 'c', '1', '3']);
  }

  async removeNode(path) {
    await rm(join(this.#folder, 'dev', path));
  }

  /** Binds a device to another driver, as far as sysfs shows it. */
  async bind(bdf, driver) {
    const domain = bdf.slice(0, 4);
    const link = join(this.#folder, `sys/devices/pci${domain}:00/${domain}:00:00.0/${bdf}/driver`);
    await rm(link);
    await symlink(`../../../../bus/pci/drivers/${driver}`, link);
  }

  /** Takes a device out of the host, or puts it back. */
  async unplug(bdf) {
    await rm(join(this.#folder, 'sys/bus/pci/devices', bdf));
  }

  async plug(bdf) {
    const domain = bdf.slice(0, 4);
    const target = `../../../devices/pci${domain}:00/${domain}:00:00.0/${bdf}`;
    await symlink(target, join(this.#folder, 'sys/bus/pci/devices', bdf));
  }

  /** One node under as many names as there are devices: a mknod(1) for each of thousands takes half a minute. */
  async #node(at) {
    if (this.#anyNode === undefined) await exec('mknod', [at, 'c', '1', '3']);
    else await link(this.#anyNode, at);
    this.#anyNode ??= at;
  }

  async #make(line) {
    const [, kind, path, rest] = /^(\w+) (\S+)(?: (.*))?$/.exec(line);
    const at = join(this.#folder, path);
    if (kind === 'D') return mkdir(at, { recursive: true });
    await mkdir(dirname(at), { recursive: true });
    if (kind === 'L') return symlink(rest.replace('-> ', ''), at);
    if (kind === 'F') return writeFile(at, JSON.parse(rest.slice(rest.indexOf('"'))));
    if (kind === 'DEV') return this.#node(at);
    return writeFile(at, ''); // config space: 0 bytes readable
  }
}
