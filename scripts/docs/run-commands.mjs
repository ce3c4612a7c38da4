#!/usr/bin/env node
// Runs the documents' commands that need nothing but the built program, and prints what became of each as JSON.
// With --write the outputs in console blocks are made anew instead (npm run docs does not: it needs no build).
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { blocksOf, consoleSteps } from './blocks.mjs';
import { Sandbox } from './sandbox.mjs';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const sandbox = await Sandbox.make(root);
try {
  const results = [];
  for (const block of await blocksOf(root)) results.push({ ...block, ...(await resultOf(block)) });
  if (process.argv.includes('--write')) await writeConsoles(results);
  else console.log(JSON.stringify(results));
} finally {
  await sandbox.remove();
}

/** @returns {Promise<{ steps: { command: string, output: string, status: number, printed: string, said: string }[] }>} */
async function resultOf({ kind, text }) {
  const steps =
    kind === 'console' ? consoleSteps(text) : kind === 'here' ? [{ command: text, output: '' }] : [];
  const done = [];
  for (const step of steps) {
    const { status, stdout, stderr } = await sandbox.run(step.command);
    done.push({ ...step, status, printed: stdout, said: stderr });
  }
  return { steps: done };
}

async function writeConsoles(results) {
  for (const page of new Set(results.map((one) => one.page))) {
    const blocks = results.filter((one) => one.page === page);
    let text = await readFile(join(root, page), 'utf8');
    for (const { kind, text: before, steps } of blocks) {
      if (kind !== 'console') continue;
      const after = steps.map(({ command, printed }) => `$ ${command}\n${printed}`).join('');
      text = text.replace(`\`\`\`console\n${before}\`\`\``, () => `\`\`\`console\n${after}\`\`\``);
    }
    await writeFile(join(root, page), text);
  }
}
