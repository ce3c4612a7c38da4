import type { Declare } from './declaration.js';

/** Commands about libvirt domains and QEMU command lines. */
export const declareDomainCommands: Declare = () => undefined;
