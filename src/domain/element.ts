/** An attribute with its value as XML means it: references replaced, white space normalised. */
export interface XmlAttribute {
  /** As written, prefix included. */
  readonly name: string;
  readonly local: string;
  /** Namespace; "" for an attribute without prefix. */
  readonly uri: string;
  readonly value: string;
}

/**
 * An element and where it stands. Offsets count UTF-16 code units of the scanned text:
 * `<a>` is start..openEnd, `</a>` is closeStart..end; of `<a/>` openEnd, closeStart and end are one.
 */
export interface XmlElement {
  /** As written, prefix included. */
  readonly name: string;
  readonly prefix: string;
  readonly local: string;
  /** Namespace; "" for none. */
  readonly uri: string;
  readonly attributes: readonly XmlAttribute[];
  readonly parent: XmlElement | undefined;
  readonly children: readonly XmlElement[];
  readonly start: number;
  readonly openEnd: number;
  readonly closeStart: number;
  readonly end: number;
  readonly selfClosing: boolean;
}

/** Value of an attribute without a namespace. */
export function attribute(element: XmlElement | undefined, local: string): string | undefined {
  return element?.attributes.find((one) => one.uri === '' && one.local === local)?.value;
}

/** Children in a namespace, by default in none: libvirt's own elements have none and it looks for no others. */
export function childrenOf(element: XmlElement | undefined, local: string, uri = ''): XmlElement[] {
  return element?.children.filter((child) => child.local === local && child.uri === uri) ?? [];
}

/** The first one, as libvirt's XPath takes it. */
export function childOf(element: XmlElement | undefined, local: string, uri = ''): XmlElement | undefined {
  return element?.children.find((child) => child.local === local && child.uri === uri);
}

/** Follows a path of first children. */
export function descend(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce((at, local) => childOf(at, local), element);
}
