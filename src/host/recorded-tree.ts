import { NOT_RECORDED, failed, succeeded, type Read } from './host-source.js';

/** What stands at a path of a recording. */
export type RecordedEntry =
  | { readonly kind: 'directory' }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'file'; readonly content: string }
  | { readonly kind: 'write-only' }
  | { readonly kind: 'binary'; readonly size: number }
  | { readonly kind: 'device' };

/** The kernel's own limit (fs/namei.c, MAXSYMLINKS). */
const MAX_LINKS = 40;

type Node =
  | { readonly kind: 'directory'; readonly children: Map<string, Node> }
  | Exclude<RecordedEntry, { kind: 'directory' }>;
type Directory = Extract<Node, { kind: 'directory' }>;

/** A file tree of a recording, which follows symbolic links as the kernel does. Paths are absolute. */
export class RecordedTree {
  readonly #root: Directory = { kind: 'directory', children: new Map() };

  /** Parents come into being; a path that is there already is replaced, but a directory keeps what is in it. */
  add(path: string, entry: RecordedEntry): void {
    const names = components(path);
    const last = names.pop();
    if (last === undefined) return;
    let directory = this.#root;
    for (const name of names) {
      let child = directory.children.get(name);
      if (child?.kind !== 'directory') {
        child = { kind: 'directory', children: new Map() };
        directory.children.set(name, child);
      }
      directory = child;
    }
    // Recordings list /dev/vfio/devices both as a node and as the folder of others.
    if (entry.kind === 'device' && directory.children.get(last)?.kind === 'directory') return;
    if (entry.kind !== 'directory') directory.children.set(last, entry);
    else if (directory.children.get(last)?.kind !== 'directory')
      directory.children.set(last, { kind: 'directory', children: new Map() });
  }

  readText(path: string): Read<string> {
    const node = this.#resolve(path, true);
    if (!node.ok) return node;
    switch (node.value.kind) {
      case 'file':
        return succeeded(node.value.content);
      case 'directory':
        return failed('EISDIR', `${path} is a directory`);
      case 'write-only':
        return failed('EACCES', `${path} was there, but could not be read when it was recorded`);
      case 'binary':
      case 'device':
      case 'link':
        return failed(NOT_RECORDED, `${path} was recorded without its content`);
    }
  }

  readLink(path: string): Read<string> {
    const node = this.#resolve(path, false);
    if (!node.ok) return node;
    return node.value.kind === 'link'
      ? succeeded(node.value.target)
      : failed('EINVAL', `${path} is no symbolic link`);
  }

  list(path: string): Read<readonly string[]> {
    const node = this.#resolve(path, true);
    if (!node.ok) return node;
    return node.value.kind === 'directory'
      ? succeeded([...node.value.children.keys()].sort())
      : failed('ENOTDIR', `${path} is no directory`);
  }

  exists(path: string): boolean {
    return this.#resolve(path, true).ok;
  }

  #resolve(path: string, followLast: boolean): Read<Node> {
    const rest = components(path).reverse();
    const parents: Directory[] = [this.#root];
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '..') {
        if (parents.length > 1) parents.pop();
        if (rest.length === 0) return succeeded(top(parents));
        continue;
      }
      const node = top(parents).children.get(name);
      if (node === undefined) return failed('ENOENT', `${path} does not exist`);
      if (node.kind === 'link' && (rest.length > 0 || followLast)) {
        if (++links > MAX_LINKS) return failed('ELOOP', `${path} leads through too many symbolic links`);
        if (node.target.startsWith('/')) parents.length = 1;
        rest.push(...components(node.target).reverse());
        if (rest.length === 0) return succeeded(top(parents));
        continue;
      }
      if (rest.length === 0) return succeeded(node);
      if (node.kind !== 'directory')
        return failed('ENOTDIR', `${path} leads through something that is no directory`);
      parents.push(node);
    }
    return succeeded(top(parents));
  }
}

function top(parents: readonly Directory[]): Directory {
  const last = parents.at(-1);
  if (last === undefined) throw new Error('a path always has the root above it');
  return last;
}

function components(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}
