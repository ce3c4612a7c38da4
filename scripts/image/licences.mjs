// The licences of everything in the image, as their packages hold them.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @param {string} root @param {import('./contents.mjs').Package[]} packages @returns {Promise<string>} */
export async function licencesOf(root, packages) {
  const parts = [];
  for (const { path, name, version, licence } of packages) {
    const texts = await licenceTexts(join(root, path));
    const body =
      texts.length > 0 ? texts.join('\n\n') : `The package holds no licence text; it is under ${licence}.`;
    parts.push(`${'='.repeat(80)}\n${name} ${version}: ${licence}\n${'='.repeat(80)}\n\n${body.trim()}\n`);
  }
  return parts.join('\n');
}

async function licenceTexts(folder) {
  const names = (await readdir(folder).catch(() => [])).filter((name) =>
    /^(licen[cs]e|copying|notice)/i.test(name),
  );
  return Promise.all(names.sort().map((name) => readFile(join(folder, name), 'utf8')));
}
