import { ExitStatus, VsmmuError } from '../errors.js';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * "127.0.0.1:8080", "[::1]:8080"; ":8080" and "8080" are the loopback, since the page has no login.
 *
 * @throws VsmmuError USAGE
 */
export function parsePageAddress(text: string): ListenAddress {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? NaN);
  if (match === null || !(port <= 65535))
    throw new VsmmuError('USAGE', `"${text}" is not ADDR:PORT`, {
      place: '--page-listen',
      remedy: 'Write an address and a port, such as 127.0.0.1:8080.',
      exitStatus: ExitStatus.usage,
    });
  const host = match[1] ?? match[2] ?? '';
  return { host: host === '' ? '127.0.0.1' : host, port };
}
