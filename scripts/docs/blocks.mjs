// The code blocks of the documents that hold commands, and how each is held to the program.
//
//   ```sh       a script that runs as it stands. A comment in the line above says where, if not in `npm test`:
//                 <!-- on a cluster -->        test/real/docs runs it against a real API server
//                 <!-- by test/real/X/... -->  the file named runs it, or the same with paths of its own
//                 <!-- not run: REASON -->     nothing can; the test knows how many there are
//   ```console  "$ command" and what it prints, in `npm test`, letter by letter
//   ```         everything else: a synopsis, a file, an output
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * @typedef {{ kind: 'here' | 'console' | 'cluster' | 'elsewhere' | 'none', page: string, line: number, text: string, note: string }} Block
 *   line: of the block's first line of text, from 1; note: the file that runs it, or why nothing does
 */

/** @param {string} root of the repository @returns {Promise<string[]>} paths below it */
export async function pagesOf(root) {
  const below = await readdir(join(root, 'docs'), { recursive: true });
  const docs = below.filter((name) => name.endsWith('.md')).map((name) => join('docs', name));
  return ['README.md', 'CONTRIBUTING.md', ...docs.sort(), 'charts/vsmmu/README.md'];
}

/** @returns {Promise<Block[]>} in the order of pages and lines */
export async function blocksOf(root) {
  const blocks = [];
  for (const page of await pagesOf(root)) {
    blocks.push(...blocksIn(page, await readFile(join(root, page), 'utf8')));
  }
  return blocks;
}

/** @returns {Block[]} */
export function blocksIn(page, text) {
  return [...text.matchAll(/(?:^<!-- ([^\n]*) -->\n)?^```(sh|console)\n(.*?)^```$/gms)].map((match) => {
    const [whole, comment = '', language, body] = match;
    const before = text.slice(0, match.index + whole.indexOf('```'));
    const line = before.split('\n').length + 1;
    return { page, line, text: body, ...kindOf(language, comment, `${page}:${line}`) };
  });
}

function kindOf(language, comment, place) {
  if (language === 'console') return { kind: 'console', note: '' };
  if (comment === '') return { kind: 'here', note: '' };
  if (comment === 'on a cluster') return { kind: 'cluster', note: '' };
  const [, word, note] = /^(by|not run:) (.+)$/.exec(comment) ?? [];
  if (word === undefined) throw new Error(`${place}: nobody knows what "${comment}" means`);
  return { kind: word === 'by' ? 'elsewhere' : 'none', note };
}

/** @param {string} text of a console block @returns {{ command: string, output: string }[]} */
export function consoleSteps(text) {
  const steps = [];
  for (const line of text.split('\n').slice(0, -1)) {
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: '' });
    else if (steps.length > 0) steps.at(-1).output += `${line}\n`;
    else throw new Error(`a console block begins with "${line}", not with a command`);
  }
  return steps;
}
