import { XmlDocument } from 'libxml2-wasm';

/**
 * What libvirt can't turn into a command line without the machine that the domain was made for: KVM, host NUMA nodes,
 * huge pages, network devices, disks, firmware images. None of it bears on SMMUs or passed-through devices.
 */
const DROPPED = [
  '/domain/memoryBacking',
  '/domain/numatune',
  '/domain/cputune',
  '/domain/iothreads',
  '/domain/launchSecurity',
  '/domain/seclabel',
  '/domain/os/loader',
  '/domain/os/nvram',
  '/domain/os/smbios',
  '/domain/sysinfo',
  '/domain/clock',
  '/domain/cpu/@mode',
  '/domain/cpu/@check',
  '/domain/cpu/@migratable',
  '/domain/cpu/model',
  '/domain/cpu/feature',
  '/domain/devices/disk',
  '/domain/devices/interface[not(@type="hostdev")]',
  '/domain/devices/graphics',
  '/domain/devices/video',
  '/domain/devices/serial',
  '/domain/devices/console',
  '/domain/devices/channel',
  '/domain/devices/vsock',
  '/domain/devices/tpm',
  '/domain/devices/emulator',
  // The kernel of a build machine may lack a node that a guest cell or an expander bus refers to.
  '/domain/devices/controller/target/node[not(/domain/cpu/numa)]',
];

/** A domain as the oracle can digest it: emulated, and without what needs the machine it was made for. @param {string} xml */
export function startable(xml) {
  const document = XmlDocument.fromString(xml);
  try {
    for (const path of DROPPED) for (const node of document.find(path)) node.remove();
    const domain = document.root;
    domain.setAttr('type', 'qemu');
    // libvirt demands UEFI for <acpi/> on aarch64, and picks the image itself when told so.
    document.get('/domain/os').setAttr('firmware', 'efi');
    return document.toString();
  } finally {
    document.dispose();
  }
}

/** Attributes of `<iommu><driver>` that libvirt 12.7 brought, beside the lower-case name that KubeVirt doesn't know. */
const NEW_ATTRIBUTES = ['accel', 'cmdqv', 'ats', 'ril', 'ssidsize', 'ssidSize', 'oas'];

/**
 * What is left of a domain after something that keeps only what it knows: a libvirt from 11.10 to 12.6, or KubeVirt's
 * plugin pipeline with libvirtxml 1.12002. Both know pciBus and <qemu:override>.
 * @param {string} xml
 */
export function withoutNewAttributes(xml) {
  const document = XmlDocument.fromString(xml);
  try {
    const names = NEW_ATTRIBUTES.map((name) => `/domain/devices/iommu/driver/@${name}`);
    for (const attribute of document.find(names.join('|'))) attribute.remove();
    return document.toString();
  } finally {
    document.dispose();
  }
}
