import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';

import { VsmmuError } from '../errors.js';
import type { CliIo } from './io.js';

/** Opens FILE, or standard input for "-". Fails before anything is read, so that nothing is half done. */
export async function openInput(file: string, io: CliIo): Promise<Readable> {
  if (file === '-') return io.stdin;
  try {
    const handle = await open(file);
    if ((await handle.stat()).isDirectory()) {
      await handle.close();
      throw new TypeError('it is a directory');
    }
    return handle.createReadStream();
  } catch (cause) {
    throw new VsmmuError('UNREADABLE_FILE', 'the input cannot be read', {
      place: file,
      remedy: 'Name a readable file, or - for standard input.',
      cause,
    });
  }
}

/** All of FILE or of standard input as UTF-8 text, byte order mark included. */
export async function readInput(file: string, io: CliIo): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of await openInput(file, io)) chunks.push(Buffer.from(chunk as Buffer | string));
  return decodeUtf8(Buffer.concat(chunks), file);
}

/** Replacement characters would be written back into the document, so broken UTF-8 is refused. */
function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new VsmmuError('UNREADABLE_FILE', 'the input is not UTF-8', {
      place: file,
      remedy: 'Convert the file to UTF-8.',
      cause,
    });
  }
}
