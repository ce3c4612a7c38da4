/** Namespaces in XML 1.0: what a name with a prefix means at one place of a document. */
export interface NamespaceScope {
  /** Namespace of elements without prefix; "" for none. */
  readonly defaultUri: string;
  readonly bindings: ReadonlyMap<string, string>;
  readonly outer: NamespaceScope | undefined;
}

export interface QName {
  readonly prefix: string;
  readonly local: string;
}

const XML_URI = 'http://www.w3.org/XML/1998/namespace';
const XMLNS_URI = 'http://www.w3.org/2000/xmlns/';

export const OUTERMOST: NamespaceScope = {
  defaultUri: '',
  bindings: new Map([
    ['xml', XML_URI],
    ['xmlns', XMLNS_URI],
  ]),
  outer: undefined,
};

/** Thrown as the reason only; the scanner knows the place. */
export class NamespaceError extends Error {}

/** Splits a name that XML already allows. */
export function splitName(name: string): QName {
  const colon = name.indexOf(':');
  if (colon === -1) return { prefix: '', local: name };
  const local = name.slice(colon + 1);
  // What may stand inside a name may not all stand at the start of its second part.
  if (
    colon === 0 ||
    local === '' ||
    local.includes(':') ||
    /^[-.\d\u00b7\u0300-\u036f\u203f\u2040]/.test(local)
  )
    throw new NamespaceError(`malformed name ${name}`);
  return { prefix: name.slice(0, colon), local };
}

/** The scope inside an element with these attributes; the outer one itself where it declares nothing. */
export function enterScope(
  outer: NamespaceScope,
  attributes: readonly { readonly name: string; readonly value: string }[],
): NamespaceScope {
  let defaultUri = outer.defaultUri;
  let bindings: Map<string, string> | undefined;
  for (const { name, value } of attributes) {
    if (!name.startsWith('xmlns')) continue;
    if (name === 'xmlns') {
      if (value === XML_URI || value === XMLNS_URI)
        throw new NamespaceError(`${value} cannot be the default`);
      bindings ??= new Map();
      defaultUri = value;
    } else if (name.startsWith('xmlns:')) {
      const prefix = name.slice('xmlns:'.length);
      checkBinding(prefix, value);
      bindings ??= new Map();
      bindings.set(prefix, value);
    }
  }
  return bindings === undefined ? outer : { defaultUri, bindings, outer };
}

function checkBinding(prefix: string, uri: string): void {
  const reserved = prefix === 'xmlns' || uri === XMLNS_URI || (prefix === 'xml') !== (uri === XML_URI);
  if (reserved) throw new NamespaceError(`prefix ${prefix} cannot be bound to ${uri}`);
  if (uri === '') throw new NamespaceError(`prefix ${prefix} cannot be unbound in XML 1.0`);
}

/** @throws NamespaceError for a prefix that nothing binds; libvirt would read on and lose the element silently */
export function uriOf(scope: NamespaceScope, prefix: string): string {
  const uri = findUri(scope, prefix);
  if (uri === undefined) throw new NamespaceError(`unbound prefix ${prefix}`);
  return uri;
}

function findUri(scope: NamespaceScope, prefix: string): string | undefined {
  for (let at: NamespaceScope | undefined = scope; at !== undefined; at = at.outer) {
    const uri = at.bindings.get(prefix);
    if (uri !== undefined) return uri;
  }
  return undefined;
}

/** Does everything that has a meaning in the one scope have the same in the other? */
export function agrees(scope: NamespaceScope, other: NamespaceScope): boolean {
  if (scope === other) return true;
  if (scope.defaultUri !== other.defaultUri) return false;
  for (let at: NamespaceScope | undefined = scope; at !== undefined; at = at.outer)
    for (const prefix of at.bindings.keys())
      if (findUri(other, prefix) !== findUri(scope, prefix)) return false;
  return true;
}
