import type { RecordedEntry } from './recorded-tree.js';

export interface SysfsRecording {
  readonly entries: readonly (readonly [path: string, entry: RecordedEntry])[];
  /** "# Linux version …" as /proc/version has it. */
  readonly version: string | undefined;
  readonly commandLine: string | undefined;
  /** Does the recording list device nodes? Without a DEV line it says nothing about them. */
  readonly hasDeviceNodes: boolean;
  /** Lines that are none of the format, 1-based, with the reason. */
  readonly damaged: readonly { readonly line: number; readonly reason: string }[];
}

/** First and last line of what vsmmu itself records: a file cut short at the end of a line shows. */
export const RECORDING_START = '# vsmmu recording 1';
export const RECORDING_END = '# end';
const VERSION = '# Linux version ';
const COMMAND_LINE = '# cmdline';
const MODE = String.raw`mode=[0-7]+`;
const FILE = new RegExp(String.raw`^(/.*?) ${MODE} = (".*")$`);
const WRITE_ONLY = new RegExp(String.raw`^(/.*?) ${MODE}$`);
const BINARY = new RegExp(String.raw`^(/.*?) size=([0-9]+) ${MODE}$`);
const DEVICE = /^(\/dev\/\S+)(?: \S+)?$/;
const DIRECTORY = /^(\/.*\S)$/;
const LINK = /^(\/.*?) -> (\S.*)$/;

type Parse = (rest: string) => readonly [string, RecordedEntry] | string;

/** One kind of line each; the reason where the line is none (docs/recording-format.md). */
const LINES: Readonly<Record<string, Parse>> = {
  D: (rest) => matched(DIRECTORY.exec(rest), 'a path', ([, path]) => [path, { kind: 'directory' }]),
  L: (rest) =>
    matched(LINK.exec(rest), '"path -> target"', ([, path, target]) => [path, { kind: 'link', target }]),
  F: (rest) => matched(FILE.exec(rest), '"path mode=… = "content""', ([, path, json]) => file(path, json)),
  W: (rest) => matched(WRITE_ONLY.exec(rest), '"path mode=…"', ([, path]) => [path, { kind: 'write-only' }]),
  B: (rest) =>
    matched(BINARY.exec(rest), '"path size=… mode=…"', ([, path, size]) => [
      path,
      { kind: 'binary', size: Number(size) },
    ]),
  DEV: (rest) => matched(DEVICE.exec(rest), 'a path under /dev', ([, path]) => [path, { kind: 'device' }]),
};

function matched(
  match: RegExpExecArray | null,
  wanted: string,
  entry: (groups: readonly [string, string, string]) => ReturnType<Parse>,
): ReturnType<Parse> {
  if (match === null) return `expected ${wanted}`;
  const [whole, first = '', second = ''] = match;
  return entry([whole, first, second]);
}

function file(path: string, json: string): ReturnType<Parse> {
  try {
    const content: unknown = JSON.parse(json);
    return typeof content === 'string' ? [path, { kind: 'file', content }] : 'the content is no JSON string';
  } catch {
    return 'the content is no JSON string';
  }
}

/** Parses `sysfs.txt`. A line that repeats counts once, the last time; damaged lines are left out and told. */
export function parseSysfsRecording(text: string): SysfsRecording {
  const entries: (readonly [string, RecordedEntry])[] = [];
  const damaged: { line: number; reason: string }[] = [];
  const comments: string[] = [];

  const lines = text.split('\n');
  const unfinished = lines.pop();
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      comments.push(line);
      continue;
    }
    const parsed = parseLine(line);
    if (typeof parsed === 'string') damaged.push({ line: index + 1, reason: parsed });
    else entries.push(parsed);
  }
  if (comments.includes(RECORDING_START) && lines.at(-1) !== RECORDING_END)
    damaged.push({ line: lines.length, reason: `the file ends before its last line, "${RECORDING_END}"` });
  if (text === '') damaged.push({ line: 1, reason: 'the file is empty' });
  if (unfinished !== '') damaged.push({ line: lines.length + 1, reason: 'the file ends inside this line' });
  return { entries, damaged, ...parseComments(comments, entries) };
}

function parseLine(line: string): ReturnType<Parse> {
  const space = line.indexOf(' ');
  const kind = line.slice(0, Math.max(space, 0));
  // Not what every object inherits, such as "constructor".
  const parse = Object.hasOwn(LINES, kind) ? LINES[kind] : undefined;
  return parse?.(line.slice(space + 1)) ?? 'the line is of no known kind (D, L, F, W, B, DEV, #)';
}

function parseComments(
  comments: readonly string[],
  entries: SysfsRecording['entries'],
): Pick<SysfsRecording, 'version' | 'commandLine' | 'hasDeviceNodes'> {
  return {
    version: comments.find((line) => line.startsWith(VERSION))?.slice(2),
    commandLine: comments
      .find((line) => line.startsWith(COMMAND_LINE))
      ?.slice(COMMAND_LINE.length)
      .trim(),
    // A noted failure to list /dev/vfio/devices is knowledge of device nodes too.
    hasDeviceNodes:
      entries.some(([, { kind }]) => kind === 'device') ||
      comments.some((line) => line.includes('/dev/vfio/devices')),
  };
}
