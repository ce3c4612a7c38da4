import { closeSync } from 'node:fs';
import type { HintSource } from './hints.js';
import { Netlink, SockaddrNl, Timeval } from './netlink-uapi.js';

/** The multicast group of the kernel's own messages; udevd's have another. */
const KERNEL_EVENTS = 1;
const MESSAGE_BYTES = 16 * 1024;
/** After so long without an event the receiving thread looks whether it shall end. */
const RECEIVE_TIMEOUT_MS = 300;

const SUBSYSTEMS: ReadonlySet<string> = new Set(['pci', 'vfio', 'vfio-dev', 'iommu']);

/**
 * Does a kernel uevent concern devices that could be passed through? A message is "ACTION@DEVPATH" and then
 * KEY=VALUE, each ended by NUL (Documentation/core-api/kobject.rst, lib/kobject_uevent.c).
 */
export function ueventConcerns(message: Uint8Array): boolean {
  const fields = Buffer.from(message).toString('latin1').split('\0');
  const subsystem = fields.find((field) => field.startsWith('SUBSYSTEM='));
  return subsystem !== undefined && SUBSYSTEMS.has(subsystem.slice('SUBSYSTEM='.length));
}

interface UeventSocket {
  readonly fd: number;
  receive(buffer: Uint8Array): Promise<{ readonly length: number; readonly errno: number }>;
}

/**
 * Kernel uevents by netlink: hotplug, driver binding and SR-IOV as they happen. Containers get them too, as long as
 * they have no user namespace of their own.
 */
export class UeventHints implements HintSource {
  readonly #netlink: UeventSocket;
  #closed = false;

  private constructor(netlink: UeventSocket) {
    this.#netlink = netlink;
  }

  /** @returns undefined where the kernel gives no such socket */
  static async open(): Promise<UeventHints | undefined> {
    const netlink = await openNetlink();
    return netlink === undefined ? undefined : new UeventHints(netlink);
  }

  listen(hint: (origin: string) => void): void {
    void this.#receive(hint);
  }

  close(): void {
    this.#closed = true;
  }

  async #receive(hint: (origin: string) => void): Promise<void> {
    const buffer = Buffer.alloc(MESSAGE_BYTES);
    for (;;) {
      const { length, errno } = await this.#netlink.receive(buffer);
      if (this.#closed) break;
      // An overrun of the socket (ENOBUFS) means that events were lost: look.
      if (length < 0 ? errno === Netlink.ENOBUFS : ueventConcerns(buffer.subarray(0, length))) hint('uevent');
      if (length < 0 && !PASSING.has(errno)) break;
    }
    closeSync(this.#netlink.fd);
  }
}

const PASSING: ReadonlySet<number> = new Set([Netlink.ENOBUFS, Netlink.EAGAIN, Netlink.EINTR]);

async function openNetlink(): Promise<UeventSocket | undefined> {
  const { default: koffi } = await import('koffi');
  const libc = koffi.load(null);
  const socket: (domain: number, type: number, protocol: number) => unknown = libc.func('socket', 'int', [
    'int',
    'int',
    'int',
  ]);
  const bind: (fd: number, address: Uint8Array, length: number) => unknown = libc.func('bind', 'int', [
    'int',
    'void *',
    'uint',
  ]);
  const setsockopt: (fd: number, level: number, name: number, value: Uint8Array, length: number) => unknown =
    libc.func('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint']);
  const recv = libc.func('recv', 'long', ['int', 'void *', 'size_t', 'int']);

  const fd = socket(
    Netlink.AF_NETLINK,
    Netlink.SOCK_DGRAM | Netlink.SOCK_CLOEXEC,
    Netlink.NETLINK_KOBJECT_UEVENT,
  );
  if (typeof fd !== 'number' || fd < 0) return undefined;
  if (
    setsockopt(fd, Netlink.SOL_SOCKET, Netlink.SO_RCVTIMEO, receiveTimeout(), Timeval.size) !== 0 ||
    bind(fd, netlinkAddress(), SockaddrNl.size) !== 0
  ) {
    closeSync(fd);
    return undefined;
  }
  return {
    fd,
    receive: (buffer) =>
      new Promise((resolve) => {
        recv.async(fd, buffer, buffer.length, 0, (error: unknown, length: unknown) => {
          const failed = error !== null && error !== undefined;
          resolve({ length: failed ? -1 : Number(length), errno: failed ? 0 : koffi.errno() });
        });
      }),
  };
}

function receiveTimeout(): Uint8Array {
  const bytes = Buffer.alloc(Timeval.size);
  bytes.writeBigInt64LE(BigInt(Math.floor(RECEIVE_TIMEOUT_MS / 1000)), Timeval.offset.tvSec);
  bytes.writeBigInt64LE(BigInt((RECEIVE_TIMEOUT_MS % 1000) * 1000), Timeval.offset.tvUsec);
  return bytes;
}

function netlinkAddress(): Uint8Array {
  const bytes = Buffer.alloc(SockaddrNl.size);
  bytes.writeUInt16LE(Netlink.AF_NETLINK, SockaddrNl.offset.nlFamily);
  bytes.writeUInt32LE(KERNEL_EVENTS, SockaddrNl.offset.nlGroups);
  return bytes;
}
