declare const bdf: unique symbol;

/** A PCI function's address, lower case, domain of four or more hex digits: "0009:01:00.0" (Linux `pci_name()`). */
export type Bdf = string & { readonly [bdf]: true };

const BDF = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([0-1][0-9a-f])\.([0-7])$/;

/** @returns the address, or undefined where the text is none. Upper case is accepted and folded. */
export function parseBdf(text: string): Bdf | undefined {
  const folded = text.toLowerCase();
  return BDF.test(folded) ? (folded as Bdf) : undefined;
}

/** Domain 0..0xffffffff, bus 0..0xff, slot 0..0x1f, function 0..7. */
export function formatBdf(domain: number, bus: number, slot: number, fn: number): Bdf | undefined {
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  return parseBdf(`${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${fn.toString(16)}`);
}

export interface BdfParts {
  readonly domain: number;
  readonly bus: number;
  readonly slot: number;
  readonly fn: number;
}

export function bdfParts(address: Bdf): BdfParts {
  const [domain = '', bus = '', slotAndFunction = ''] = address.split(':');
  const [slot = '', fn = ''] = slotAndFunction.split('.');
  return {
    domain: parseInt(domain, 16),
    bus: parseInt(bus, 16),
    slot: parseInt(slot, 16),
    fn: parseInt(fn, 16),
  };
}

/** Numeric order: 5-digit domains sort after 4-digit ones. */
export function compareBdf(a: Bdf, b: Bdf): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
