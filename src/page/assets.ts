import { readFile } from 'node:fs/promises';

import { VsmmuError } from '../errors.js';

export interface PageAsset {
  readonly type: string;
  readonly text: string;
}

/** By path: "/index.html". */
export type PageAssets = ReadonlyMap<string, PageAsset>;

const TYPES = {
  '/index.html': 'text/html',
  '/page.js': 'text/javascript',
  '/page.css': 'text/css',
  '/icon.svg': 'image/svg+xml',
} as const;

/**
 * The files that scripts/build.mjs put beside the program; a chunk of the program lies one folder deeper.
 *
 * @throws VsmmuError PAGE_ASSETS
 */
export async function readAssets(near = import.meta.url): Promise<PageAssets> {
  for (const folder of ['./page/', '../page/']) {
    try {
      return await readFolder(new URL(folder, near));
    } catch {
      continue;
    }
  }
  throw new VsmmuError('PAGE_ASSETS', "the page's files are not beside the program", {
    place: near,
    remedy: 'Install or build the whole package: npm run build.',
  });
}

async function readFolder(folder: URL): Promise<PageAssets> {
  const entries = Object.entries(TYPES).map(async ([path, type]) => {
    const text = await readFile(new URL(`.${path}`, folder), 'utf8');
    return [path, { type, text }] as const;
  });
  return new Map(await Promise.all(entries));
}
