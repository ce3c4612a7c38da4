import { expect, test } from '@jest/globals';

import { isImplicitPci } from './implicit-pci.js';
import { scanXml } from './scan.js';

/** Which of these devices libvirt 12.8 gives a PCI address, in the command line for an aarch64 virt machine. */
test.each([
  [true, "<crypto model='virtio' type='qemu'><backend model='builtin'/></crypto>"],
  [true, "<filesystem type='mount'><source dir='/x'/><target dir='x'/></filesystem>"],
  [true, "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"],
  [true, "<shmem name='s'><model type='ivshmem-plain'/></shmem>"],
  [true, "<vsock model='virtio'><cid auto='yes'/></vsock>"],
  [true, "<interface type='user'/>"],
  [false, "<interface type='user'><model type='usb-net'/></interface>"],
  [true, "<sound model='virtio'/>"],
  [false, "<sound model='usb'/>"],
  [true, "<disk type='file'><target dev='sda' bus='virtio'/></disk>"],
  [true, "<disk type='file'><target dev='vda'/></disk>"],
  [false, "<disk type='file'><target dev='vda' bus='scsi'/></disk>"],
  [false, "<disk type='file'><target dev='sda'/></disk>"],
  [true, '<video/>'],
  [true, "<video><model type='virtio'/></video>"],
  [false, "<video><model type='ramfb'/></video>"],
  [false, "<video><model type='none'/></video>"],
  [true, "<memballoon model='virtio'/>"],
  [false, "<memballoon model='none'/>"],
  [true, "<controller type='nvme'/>"],
  [true, "<controller type='sata'/>"],
  [true, "<controller type='scsi' model='virtio-scsi'/>"],
  [true, "<controller type='usb' model='qemu-xhci'/>"],
  [true, "<controller type='virtio-serial'/>"],
  [false, "<controller type='usb' model='none'/>"],
  [false, "<controller type='ccid'/>"],
  [false, "<controller type='fdc'/>"],
  [true, "<input type='passthrough' bus='virtio'/>"],
  [false, "<input type='keyboard' bus='usb'/>"],
  [true, "<memory model='virtio-mem'/>"],
  [false, "<memory model='dimm'/>"],
  [true, '<panic/>'],
  [true, "<panic model='pvpanic'/>"],
  [true, "<serial type='pty'><target type='pci-serial'/></serial>"],
  [false, "<serial type='pty'/>"],
  [true, "<watchdog model='i6300esb'/>"],
  [true, "<hostdev mode='subsystem' type='mdev' model='vfio-pci'/>"],
  [false, "<hostdev mode='subsystem' type='usb'/>"],
  // An address says it: nothing is left for libvirt to choose, but where it is all zeros.
  [false, "<vsock><address type='pci' bus='0x02' slot='0x00' function='0x0'/></vsock>"],
  [false, "<vsock><address type='virtio-mmio'/></vsock>"],
  [true, "<vsock><address type='pci' bus='0x00' slot='0x00' function='0x0'/></vsock>"],
])('%s: %s', (expected, xml) => {
  expect(isImplicitPci(scanXml(xml, 'test'))).toBe(expected);
});
