import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

import { messageOf, VsmmuError } from '../../errors.js';
import type { KeyPair } from './issue.js';

export interface CertificateFilesOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** How often the files are read without a hint; 10 s by default. */
  readonly pollMs?: number;
  readonly onChange: (pair: KeyPair) => void;
  /** A new pair that can't be used; the last good one stays. */
  readonly onBadPair: (error: VsmmuError) => void;
}

export interface CertificateFiles {
  readonly current: () => KeyPair;
  stop(): void;
}

/**
 * Follows a certificate and its key in files, as kubelet and cert-manager rewrite them in a Secret's volume: the
 * folder is watched, because there the files are links whose target folder is swapped, and a watch on a file goes
 * dead with the first swap. A poll catches what the watch misses. Half-written pairs are waited out.
 *
 * @throws VsmmuError TLS_FILES where the first pair can't be used
 */
export function followCertificateFiles(options: CertificateFilesOptions): CertificateFiles {
  const { certFile, keyFile, pollMs = 10_000, onChange, onBadPair } = options;
  let current = readPair(certFile, keyFile);
  let lastBad = '';

  const check = () => {
    try {
      const pair = readPair(certFile, keyFile);
      lastBad = '';
      if (pair.cert === current.cert && pair.key === current.key) return;
      current = pair;
      onChange(pair);
    } catch (error) {
      if (!(error instanceof VsmmuError) || error.message === lastBad) return;
      lastBad = error.message;
      onBadPair(error);
    }
  };
  const watchers = [...new Set([dirname(certFile), dirname(keyFile)])].flatMap((folder) =>
    watchFolder(folder, check),
  );
  const poll = setInterval(check, pollMs);
  return {
    current: () => current,
    stop: () => {
      clearInterval(poll);
      for (const watcher of watchers) watcher.close();
    },
  };
}

/** Out of inotify watches the poll alone has to do. */
function watchFolder(folder: string, onEvent: () => void): FSWatcher[] {
  try {
    const watcher = watch(folder, onEvent);
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}

function readPair(certFile: string, keyFile: string): KeyPair {
  const cert = readPem(certFile);
  const key = readPem(keyFile);
  const reason = mismatch({ cert, key });
  if (reason === undefined) return { cert, key };
  throw new VsmmuError('TLS_FILES', reason, {
    place: `${certFile}, ${keyFile}`,
    remedy: 'Write a PEM certificate (leaf first) and its own unencrypted PEM key.',
  });
}

/** Why a pair can't serve; undefined where it can. */
export function mismatch({ cert, key }: KeyPair): string | undefined {
  try {
    const parsed = new X509Certificate(cert);
    return parsed.checkPrivateKey(createPrivateKey(key))
      ? undefined
      : 'the key is not the key of the certificate';
  } catch (error) {
    return `not a certificate with its key: ${messageOf(error)}`;
  }
}

function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new VsmmuError('TLS_FILES', `it cannot be read: ${messageOf(error)}`, {
      place: file,
      remedy: 'Name a readable file; in a pod, mount the Secret that holds it.',
      cause: error,
    });
  }
}
