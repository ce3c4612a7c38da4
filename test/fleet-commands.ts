import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach } from '@jest/globals';
import { stringify } from 'yaml';

import { runProgram } from '../src/cli/program.js';
import { capturedIo } from './captured-io.js';

export const DEMO = 'src/cli/demo/two-gpu-host';
export const GRACE = 'test/fixtures/hosts/grace-2gpu';
export const HOSTS = ['--host', DEMO, '--host', GRACE];
/** Both hosts have two of them. */
export const GPU = 'vsmmu.io/10de-2941-ats';

let dir: string;

/** Gives each test of the calling file a folder of its own. */
export function useFolder(): void {
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vsmmu-fleet-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));
}

/** A file of Kubernetes objects in the test's folder, in YAML as Kubernetes reads it. @returns its path */
export async function file(name: string, ...objects: readonly unknown[]): Promise<string> {
  return text(name, objects.map((object) => stringify(object, { version: '1.1' })).join('---\n'));
}

/** @returns the path of a file with this text in the test's folder */
export async function text(name: string, content: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content);
  return path;
}

export async function vsmmu(...args: readonly string[]) {
  const io = capturedIo();
  const status = await runProgram(args, io);
  return { status, out: io.out(), err: io.err() };
}

export const policy = (name: string, spec: Readonly<Record<string, unknown>>) => ({
  apiVersion: 'vsmmu.io/v1alpha1',
  kind: 'Policy',
  metadata: { name },
  spec,
});
