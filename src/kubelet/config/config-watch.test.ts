import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { silentLog } from '../../log/log.js';
import { until } from '../../../test/kubelet-peer.js';
import { followConfig } from './config-watch.js';

let dir: string;
let file: string;
let stop: AbortController;
let told: (string | undefined)[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
  file = join(dir, 'agent.yaml');
  stop = new AbortController();
  told = [];
});
afterEach(() => {
  stop.abort();
  rmSync(dir, { recursive: true, force: true });
});

const config = (name: string) =>
  `apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\notherwise: example.com/${name}\n`;

/** What is told: undefined for each configuration taken, the reason for each refused. */
const follow = async () => {
  const hooks = {
    check: () => undefined,
    onReload: (taken: boolean, reason?: string) => told.push(taken ? undefined : reason),
  };
  return followConfig(file, silentLog, hooks, stop.signal);
};

test('of a file that is written in place again and again the last content counts', async () => {
  writeFileSync(file, config('first'));
  const feed = await follow();
  for (let round = 0; round < 20; round++) {
    writeFileSync(file, config(`a${round}`));
    await new Promise((resolve) => setTimeout(resolve, round % 4));
    writeFileSync(file, config(`b${round}`));
    await until(() => feed.value.otherwise === `example.com/b${round}`);
  }
});

test('a file that is emptied and then filled is never seen empty', async () => {
  writeFileSync(file, config('first'));
  const feed = await follow();
  writeFileSync(file, '');
  await new Promise((resolve) => setTimeout(resolve, 10));
  writeFileSync(file, config('second'));
  await until(() => feed.value.otherwise === 'example.com/second');
  expect(told).toEqual([undefined]);
});

describe('a ConfigMap', () => {
  /** As kubelet's AtomicWriter does: a folder with the time in its name, a link to it, renamed over the former. */
  const publish = (version: string, text: string) => {
    mkdirSync(join(dir, `..${version}`));
    writeFileSync(join(dir, `..${version}/agent.yaml`), text);
    symlinkSync(`..${version}`, join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
  };

  test('that is replaced is read, and one that is invalid leaves the former in force', async () => {
    publish('1', config('first'));
    symlinkSync('..data/agent.yaml', file);
    const feed = await follow();
    publish('2', config('second'));
    rmSync(join(dir, '..1'), { recursive: true });
    await until(() => feed.value.otherwise === 'example.com/second');
    publish('3', config('Not A Name'));
    await until(() => told.length === 2);
    expect(told[1]).toMatch(/3:12: otherwise/);
    expect(feed.value.otherwise).toBe('example.com/second');
  });

  test('without the key, and with it again as it was', async () => {
    publish('1', config('first'));
    symlinkSync('..data/agent.yaml', file);
    const feed = await follow();
    unlinkSync(file);
    await until(() => told.length === 1);
    expect(told[0]).toMatch(/cannot be read/);
    symlinkSync('..data/agent.yaml', file);
    await until(() => told.length === 2);
    expect(told[1]).toBeUndefined();
    expect(feed.value.otherwise).toBe('example.com/first');
  });
});

test.each<[string, () => void, RegExp]>([
  ['a folder', () => mkdirSync(file), /EISDIR/],
  ['not there', () => undefined, /ENOENT/],
  ['a broken link', () => symlinkSync('nowhere', file), /ENOENT/],
])('a file that is %s at the start is an error at once', async (_, make, message) => {
  make();
  await expect(follow()).rejects.toThrow(message);
});

test('a folder that is replaced is watched anew', async () => {
  const folder = join(dir, 'etc');
  file = join(folder, 'agent.yaml');
  mkdirSync(folder);
  writeFileSync(file, config('first'));
  const feed = await follow();
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  writeFileSync(file, config('second'));
  await until(() => feed.value.otherwise === 'example.com/second');
});
