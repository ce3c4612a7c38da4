/** The operations of RFC 6902 that vsmmu uses. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** A JSON pointer (RFC 6901): "~" and "/" of a key are escaped, "~" first. */
export function jsonPointer(...keys: readonly string[]): string {
  return keys.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/**
 * The least operations that turn `current` into itself with `changes`; a change of undefined removes the key.
 * Keys that already have the wanted value give no operation, so that patching twice patches nothing.
 *
 * @param at pointer of the map
 * @param current undefined where the object has no such map: a first key then has to bring the map along
 */
export function patchStringMap(
  at: string,
  current: Readonly<Record<string, string>> | undefined,
  changes: Readonly<Record<string, string | undefined>>,
): JsonPatchOperation[] {
  const entries = Object.entries(changes);
  if (current === undefined) {
    const wanted = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    return Object.keys(wanted).length === 0 ? [] : [{ op: 'add', path: at, value: wanted }];
  }
  return entries.flatMap(([key, value]): JsonPatchOperation[] => {
    const old = Object.hasOwn(current, key) ? current[key] : undefined;
    if (old === value) return [];
    const path = at + jsonPointer(key);
    if (value === undefined) return [{ op: 'remove', path }];
    return [{ op: old === undefined ? 'add' : 'replace', path, value }];
  });
}
