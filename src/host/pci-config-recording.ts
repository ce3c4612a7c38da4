import { parseBdf, type Bdf } from '../bdf.js';

export interface PciConfigRecording {
  readonly configs: ReadonlyMap<Bdf, Uint8Array>;
  readonly damaged: readonly { readonly line: number; readonly reason: string }[];
}

const HEADER = /^((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])(?:\s|$)/;
const ROW = /^([0-9a-f]{2,3}):((?: [0-9a-f]{2}){1,16})$/;
const ROW_BYTES = 16;
/** Of PCI Express; a row's offset has at most three digits. */
const CONFIG_BYTES = 4096;

/**
 * Parses `lspci -xxxx`. What comes after a damaged row of a function is left out, so that
 * the bytes are always a true beginning of its config space.
 */
export function parsePciConfigRecording(text: string): PciConfigRecording {
  const configs = new Map<Bdf, Uint8Array>();
  const damaged: { line: number; reason: string }[] = [];
  let current: { readonly bdf: Bdf; readonly config: Config; broken: boolean } | undefined;
  const finish = () => {
    if (current !== undefined) configs.set(current.bdf, current.config.bytes.slice(0, current.config.length));
    current = undefined;
  };

  const lines = text.split('\n');
  const unfinished = lines.at(-1) === '' ? undefined : lines.length;
  for (const [index, line] of lines.entries()) {
    const header = HEADER.exec(line)?.[1];
    if (header !== undefined) {
      finish();
      // lspci leaves the domain out where all are 0000.
      const bdf = parseBdf(header.split(':').length === 2 ? `0000:${header}` : header);
      if (bdf === undefined) damaged.push({ line: index + 1, reason: `"${header}" is no PCI address` });
      else current = { bdf, config: { bytes: new Uint8Array(CONFIG_BYTES), length: 0 }, broken: false };
      continue;
    }
    if (line.trim() === '' || current?.broken === true) continue;
    const reason =
      index + 1 === unfinished
        ? 'the file ends inside this line'
        : current === undefined
          ? 'a row before any PCI address'
          : appendRow(current.config, line);
    if (reason === undefined) continue;
    damaged.push({ line: index + 1, reason });
    if (current !== undefined) current.broken = true;
  }
  finish();
  return { configs, damaged };
}

/** What was read of a function's config space. */
interface Config {
  readonly bytes: Uint8Array;
  length: number;
}

/** @returns what is wrong with the row, or undefined when its bytes were taken */
function appendRow(config: Config, line: string): string | undefined {
  const match = ROW.exec(line);
  if (match === null) return 'expected "offset: 16 hex bytes"';
  const [, offset = '', row = ''] = match;
  if (parseInt(offset, 16) !== config.length) return `expected offset ${config.length.toString(16)}`;
  const values = Buffer.from(row.replaceAll(' ', ''), 'hex');
  if (values.length !== ROW_BYTES) return `expected ${ROW_BYTES} bytes, found ${values.length}`;
  config.bytes.set(values, config.length);
  config.length += ROW_BYTES;
  return undefined;
}
