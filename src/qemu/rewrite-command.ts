import type { HostFeatures } from '../smmu/features.js';
import { ExitStatus, VsmmuError } from '../errors.js';
import { DomainRefused } from '../domain/refused.js';
import { placeOf } from '../domain/place.js';
import { deviceOfObject, parseDeviceOption, type DeviceOption } from './device-option.js';
import { planDevices, type DeviceFinding, type NumberedDevice } from './resolve-devices.js';
import { quoteShellWord, splitShellWords, type ShellWord } from './shell-words.js';

/** A `-device` with its place in the text. */
interface PlacedDevice {
  readonly option: DeviceOption;
  readonly start: number;
  readonly end: number;
  readonly render: (option: string) => string;
}

/**
 * Writes a QEMU command line with every `auto` of its accelerated vSMMUs resolved and checked for a host; all else
 * stays as it is. Also takes device objects, as `-device` takes them: a JSON array of them, or one a line.
 *
 * @throws VsmmuError COMMAND_MALFORMED; DomainRefused with every reason where the host or the topology doesn't allow it
 */
export function rewriteCommand(text: string, host: HostFeatures, source = 'command line'): string {
  const first = text.trimStart().charAt(0);
  if (first === '') throw malformed('it is empty', source);
  if (first === '[')
    return `${JSON.stringify(rewriteObjects(parseArray(text, source), host, source), null, 2)}\n`;
  if (first !== '{') return rewriteWords(text, host, source);
  const written = rewriteObjects(parseLines(text, source), host, source);
  return written.map((object) => `${JSON.stringify(object)}\n`).join('');
}

/** Host devices that the command line gives to the guest; what they are decides whether a host is to be asked. */
export function isAccelerated(text: string): boolean {
  return /arm-smmuv3/.test(text);
}

function rewriteWords(text: string, host: HostFeatures, source: string): string {
  const split = splitShellWords(text);
  if (!split.ok) throw malformed('a quote is never closed', placeOf(source, text, split.unclosed));
  const placed: PlacedDevice[] = [];
  split.words.forEach((word, index) => {
    const flag = split.words[index - 1]?.value;
    if (flag !== '-device' && flag !== '--device') return;
    placed.push(placedWord(word, text, source));
  });
  const values = planned(placed, host, (index) => placeOf(source, text, placed[index]?.start ?? 0));
  let result = '';
  let at = 0;
  placed.forEach(({ option, start, end, render }, index) => {
    const wanted = values.get(index);
    result += text.slice(at, start);
    result += wanted === undefined ? text.slice(start, end) : render(option.with(wanted));
    at = end;
  });
  return result + text.slice(at);
}

function placedWord(word: ShellWord, text: string, source: string): PlacedDevice {
  const option = parseDeviceOption(word.value);
  if (option === undefined)
    throw malformed(`-device ${word.value.slice(0, 60)} is no device`, placeOf(source, text, word.start));
  const { start, end, quoting } = word;
  return { option, start, end, render: (value) => quoteShellWord(value, quoting) };
}

type JsonObject = Record<string, unknown>;

function rewriteObjects(objects: readonly JsonObject[], host: HostFeatures, source: string): unknown[] {
  const placed = objects.map((object, index): PlacedDevice => {
    const option = deviceOfObject(object);
    if (option === undefined) throw malformed(`item ${index} has no "driver"`, source);
    return { option, start: 0, end: 0, render: (value) => value };
  });
  const values = planned(placed, host, (index) => `${source} item ${index}`);
  return placed.map(({ option }, index): unknown => JSON.parse(option.with(values.get(index) ?? [])));
}

function parseArray(text: string, source: string): JsonObject[] {
  const value = parseJson(text, source);
  if (!Array.isArray(value)) throw malformed('not a JSON array of devices', source);
  return value.map((item: unknown, index) => objectOf(item, `item ${index}`, source));
}

function parseLines(text: string, source: string): JsonObject[] {
  return text
    .split('\n')
    .map((line, index) => ({ line, place: `${source}:${index + 1}` }))
    .filter(({ line }) => line.trim() !== '')
    .map(({ line, place }) => objectOf(parseJson(line, place), 'the line', place));
}

function objectOf(value: unknown, what: string, place: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(`${what} is no object`, place);
  return { ...value };
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed('not JSON', place, cause);
  }
}

function planned(placed: readonly PlacedDevice[], host: HostFeatures, place: (index: number) => string) {
  const devices = placed.map(({ option }, index): NumberedDevice => ({ index, option }));
  const { values, findings } = planDevices(devices, host);
  const errors = findings.map((finding) => errorOf(finding, place(finding.index)));
  const [first, ...others] = errors;
  if (first !== undefined) throw new DomainRefused(first, others);
  return values;
}

function errorOf({ code, message, remedy }: DeviceFinding, place: string): VsmmuError {
  return new VsmmuError(code, message, { place, remedy, exitStatus: ExitStatus.findings });
}

function malformed(message: string, place: string, cause?: unknown): VsmmuError {
  return new VsmmuError('COMMAND_MALFORMED', message, {
    place,
    remedy: 'Give a QEMU command line as a shell would read it, or -device objects in JSON.',
    cause,
  });
}
