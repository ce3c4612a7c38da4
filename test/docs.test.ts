import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import { describe, expect, test } from '@jest/globals';
import * as z from 'zod';

import { commandModel, type CommandModel } from '../src/cli/command-model.js';
import { createProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';

const block = z.object({
  kind: z.enum(['here', 'console', 'cluster', 'elsewhere', 'none']),
  page: z.string(),
  line: z.number(),
  text: z.string(),
  note: z.string(),
  steps: z.array(
    z.object({
      command: z.string(),
      output: z.string(),
      status: z.number(),
      printed: z.string(),
      said: z.string(),
    }),
  ),
});
type Block = z.output<typeof block>;

/** What scripts/docs/run-commands.mjs ran: the program is the built one, as `npm test` makes it. */
const { stdout } = await promisify(execFile)(process.execPath, ['scripts/docs/run-commands.mjs'], {
  maxBuffer: 64 * 1024 * 1024,
});
const blocks = z.array(block).parse(JSON.parse(stdout));
const of = (kind: Block['kind']) =>
  blocks.filter((one) => one.kind === kind).map((one) => [`${one.page}:${one.line}`, one] as const);

describe('what runs with nothing but the program', () => {
  test.each(of('here'))('%s runs to its end', (_place, { steps }) => {
    for (const { command, status, said } of steps)
      expect({ command, status, said }).toEqual({ command, status: 0, said: expect.any(String) });
  });

  // 1 is "findings", which a page may well show. To accept a change: node scripts/docs/run-commands.mjs --write
  test.each(of('console'))('%s prints what the page shows', (_place, { steps }) => {
    for (const { command, output, printed, status } of steps) {
      expect({ command, printed }).toEqual({ command, printed: output });
      expect([0, 1]).toContain(status);
    }
  });
});

describe('what runs elsewhere', () => {
  test.each(of('elsewhere'))('%s names a file of the tests', (_place, { note }) => {
    expect(existsSync(note)).toBe(true);
  });

  test('test/real/docs runs the blocks for a cluster', () => {
    expect(of('cluster').length).toBeGreaterThan(5);
    expect(readFileSync('test/real/docs/suite.mjs', 'utf8')).toContain("kind === 'cluster'");
  });

  test('what nothing runs is known, with its reason', () => {
    expect(of('none').map(([, { page, note }]) => [page, note])).toEqual([
      ['docs/fleet.md', expect.stringContaining('forwards ports')],
      ['docs/howto/any-device.md', 'it takes a device from its driver'],
      ['docs/install.md', expect.stringContaining('no container engine')],
    ]);
  });
});

const program = commandModel(createProgram(capturedIo(), () => undefined));
const pages = [...new Set(blocks.map(({ page }) => page))];

/** Words of every vsmmu command in a text; comments, redirections and what comes behind a pipe cut off. */
function commandsIn(text: string): string[][] {
  return text
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
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

/** Blocks without a language: a synopsis, an output, a file. */
function plainBlocks(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^```\n(.*?)^```/gms)].map(([, text = '']) => text);
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

describe('every vsmmu command in the documents is one that the program has', () => {
  const named = [
    ...blocks.map(({ page, line, text }) => [`${page}:${line}`, commandsIn(text)] as const),
    ...[...pages, 'docs/cli.md', 'docs/doctor.md', 'docs/hook.md', 'docs/probe.md'].map(
      (page) => [`${page}, plain blocks`, plainBlocks(page).flatMap(commandsIn)] as const,
    ),
  ].filter(([, commands]) => commands.length > 0);
  test.each(named)('%s', (_place, commands) => {
    for (const words of commands)
      expect({ words, unknown: unknownWords(words) }).toEqual({ words, unknown: [] });
  });
});

test('a plain block holds no command that could run: only a synopsis, with what stands for something', () => {
  for (const page of pages) {
    const runnable = plainBlocks(page)
      .flatMap((text) => text.split('\n'))
      .filter(
        (line) => /^(vsmmu|kubectl|helm|npm|npx|virsh|docker) /.test(line) && !/[[…]|\.\.\./.test(line),
      );
    expect({ page, runnable }).toEqual({ page, runnable: [] });
  }
});
