import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { VsmmuError } from '../../errors.js';
import { type CertificateFiles, followCertificateFiles } from './certificate-files.js';
import { createAuthority, issueLeaf, type KeyPair } from './issue.js';

const validity = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 3_600_000) };
const ca = createAuthority('test', validity);
const pair = () => issueLeaf(ca, { names: ['localhost'], validity });

let dir: string;
let files: CertificateFiles | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cert-'));
});
afterEach(() => {
  files?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** A Secret's volume as kubelet writes it: tls.crt -> ..data/tls.crt, ..data -> ..N, swapped by one rename. */
function project(version: number, { cert, key }: KeyPair): void {
  mkdirSync(join(dir, `..${version}`));
  writeFileSync(join(dir, `..${version}`, 'tls.crt'), cert);
  writeFileSync(join(dir, `..${version}`, 'tls.key'), key);
  symlinkSync(`..${version}`, join(dir, '..data_tmp'));
  renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  if (version === 1)
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(`..data/${name}`, join(dir, name));
}

function follow(pollMs: number): { next: () => Promise<KeyPair | VsmmuError> } {
  const events: (KeyPair | VsmmuError)[] = [];
  let wake = () => {};
  const push = (event: KeyPair | VsmmuError) => {
    events.push(event);
    wake();
  };
  files = followCertificateFiles({
    certFile: join(dir, 'tls.crt'),
    keyFile: join(dir, 'tls.key'),
    pollMs,
    onChange: push,
    onBadPair: push,
  });
  return {
    next: async () => {
      for (;;) {
        const event = events.shift();
        if (event !== undefined) return event;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

describe('a Secret’s volume', () => {
  test('is followed through several swaps by the watch alone', async () => {
    const first = pair();
    project(1, first);
    const { next } = follow(1_000_000);
    expect(files?.current()).toEqual(first);
    for (const version of [2, 3, 4]) {
      const renewed = pair();
      project(version, renewed);
      expect(await next()).toEqual(renewed);
      expect(files?.current()).toEqual(renewed);
    }
  });

  test('with a key that is not the certificate’s keeps the last good pair and says so once', async () => {
    const first = pair();
    project(1, first);
    const { next } = follow(5);
    project(2, { cert: pair().cert, key: pair().key });
    expect(await next()).toMatchObject({
      code: 'TLS_FILES',
      message: expect.stringContaining('key') as unknown,
    });
    expect(files?.current()).toEqual(first);
    const renewed = pair();
    project(3, renewed);
    expect(await next()).toEqual(renewed);
  });
});

test('the poll finds what no event told: files named apart from their folder’s events', async () => {
  const first = pair();
  project(1, first);
  const { next } = follow(5);
  const renewed = pair();
  // Written into the old target folder: the watched folder sees nothing of it.
  writeFileSync(join(dir, '..1', 'tls.key'), renewed.key);
  writeFileSync(join(dir, '..1', 'tls.crt'), renewed.cert);
  let event = await next();
  while ('code' in event) event = await next();
  expect(event).toEqual(renewed);
});

test.each<[string, () => void, RegExp]>([
  ['no files', () => undefined, /cannot be read/],
  ['a certificate that is none', () => project(1, { cert: 'x', key: pair().key }), /not a certificate/],
  ['a key that is none', () => project(1, { cert: pair().cert, key: 'x' }), /not a certificate/],
  ['a foreign key', () => project(1, { cert: pair().cert, key: pair().key }), /not the key/],
])('%s at the start is an error', (_, prepare, message) => {
  prepare();
  expect(() => follow(1000)).toThrow(
    expect.objectContaining({ code: 'TLS_FILES', message: expect.stringMatching(message) as unknown }),
  );
});
