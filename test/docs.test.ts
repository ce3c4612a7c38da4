import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from '@jest/globals';

import { commandModel, type CommandModel } from '../src/cli/command-model.js';
import { createProgram, runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';

const pages = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const program = commandModel(createProgram(capturedIo(), () => undefined));

/** Words of every vsmmu command in a page's code blocks; comments, redirections and what comes behind a pipe cut off. */
function commandsOf(page: string): string[][] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^```(?:sh)?\n(.*?)^```/gms)].map(
    ([, block = '']) => block,
  );
  return blocks
    .flatMap((block) => block.replaceAll(/\\\n\s*/g, ' ').split('\n'))
    .flatMap((line) => line.replace(/(^|\s)#.*$/, '').split(/\|\||&&|\||;/))
    .map((part) => part.trim().replace(/^\$ /, '').replace(/^npx /, ''))
    .filter((part) => part.startsWith('vsmmu '))
    .map((part) =>
      part
        .replace(/\s[<>].*$/, '')
        .split(/\s+/)
        .slice(1),
    );
}

/** What of a command line the program does not have; usage lines ("[options]", "DIR") are held to the same. */
function unknownWords(words: readonly string[]): string[] {
  let command: CommandModel = program;
  const unknown: string[] = [];
  for (const word of words.map((one) => one.replace(/^\[+/, '').replace(/[\]…]+$/, ''))) {
    const child = command.subcommands.find(({ path }) => path.endsWith(` ${word}`));
    if (child !== undefined) command = child;
    else if (command.subcommands.length > 0 && !word.startsWith('-')) unknown.push(word);
    else if (/^--?[a-z]/i.test(word)) {
      const [name = ''] = word.split('=');
      const known = command.options.some(({ short, long }) => short === name || long === name);
      if (!known && !['--help', '-h'].includes(name)) unknown.push(word);
    }
  }
  return unknown;
}

describe.each(
  pages.map((page) => [page, commandsOf(page)] as const).filter(([, commands]) => commands.length > 0),
)('%s', (_page, commands) => {
  test.each(commands.map((words) => [words.join(' '), words] as const))('vsmmu %s', (_line, words) => {
    expect(unknownWords(words)).toEqual([]);
  });

  // What names the recording that the project holds can be run as it stands.
  const runnable = commands.filter((words) => words.includes('src/cli/demo/two-gpu-host'));
  if (runnable.length === 0) return;
  test.each(runnable.map((words) => [words.join(' '), words] as const))(
    'runs: vsmmu %s',
    async (_line, words) => {
      const io = capturedIo();
      expect({ status: await runProgram(words, io), err: io.err() }).toMatchObject({ status: 0 });
      expect(io.out()).not.toBe('');
    },
  );
});
