import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Checkpoint } from '../src/kubelet/checkpoint.js';
import { preparedFromJson, type PreparedClaims } from '../src/kubelet/dra/prepared-claims.js';
import { silentLog } from '../src/log/log.js';

/** Enough for the moments of one write to be met: before, inside each step, and after. `VSMMU_KILLS=200` for more. */
const KILLS = Number(process.env['VSMMU_KILLS'] ?? 25);

let dir: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsmmu-'));
});
afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
});

/**
 * Prepares and unprepares claims as fast as it can over the real Preparer, and says on standard output what it has
 * promised: "+N" after a claim was prepared, "-N" before one is unprepared.
 */
const WRITER = `
import { parseBdf } from './src/bdf.ts';
import { openLiveHost } from './src/host/live-host.ts';
import { Checkpoint } from './src/kubelet/checkpoint.ts';
import { Preparer } from './src/kubelet/dra/prepare.ts';
import { preparedFromJson } from './src/kubelet/dra/prepared-claims.ts';
import { GroupClaims } from './src/kubelet/group-claims.ts';
import { HEALTHY } from './src/kubelet/plugin-device.ts';
import { silentLog } from './src/log/log.ts';
import { writeSync } from 'node:fs';

const [dir, root] = process.argv.slice(2);
const checkpoint = new Checkpoint(dir + '/state/prepared.json', preparedFromJson);
const read = await checkpoint.read(silentLog);
if (read.kind === 'lost') { writeSync(1, 'damaged ' + read.because + '\\n'); process.exit(1); }
const devices = new Map(Array.from({ length: 8 }, (_, n) => {
  const bdf = parseBdf('0000:0' + n + ':00.0');
  const device = { bdf, driver: 'vfio-pci', iommuGroup: n, groupMates: [], health: HEALTHY };
  return ['d' + n, { name: 'd' + n, device, attributes: {} }];
}));
const preparer = new Preparer({
  nodeName: 'node-1', cdiDir: dir + '/cdi', stateDir: dir + '/state', source: openLiveHost({ root }),
  iommufd: () => 'auto', claims: new GroupClaims(), checkpoint, devices: () => devices,
}, read.kind === 'read' ? read.value : new Map());
writeSync(1, 'held ' + [...preparer.prepared.keys()].join() + '\\n');
for (let turn = 0; ; turn++) {
  const n = turn % 8;
  const uid = 'uid-' + n;
  if (preparer.prepared.has(uid)) { writeSync(1, '-' + n + '\\n'); await preparer.unprepare(uid); }
  else {
    await preparer.prepare({ uid, namespace: 'vms', name: 'c' + n, podClaimName: undefined,
      devices: [{ request: 'r', pool: 'node-1', device: 'd' + n }] });
    writeSync(1, '+' + n + '\\n');
  }
}
`;

test(`killed ${KILLS} times at random, the state is always whole, and no prepared claim is lost or doubled`, async () => {
  const program = join(dir, 'writer.mjs');
  await build({
    stdin: { contents: WRITER, resolveDir: fileURLToPath(new URL('..', import.meta.url)) },
    outfile: program,
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi'],
    banner: {
      // A name that no bundled file gives to its own import.
      js: "import { createRequire as requireOfWriter } from 'node:module'; const require = requireOfWriter(import.meta.url);",
    },
  });
  const root = hostOf(8);
  const promised = new Set<number>();
  let prepared = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    child = spawn(process.execPath, [program, dir, root], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()));
    // Not a moment in time but a number of its writes: a loaded machine meets the same moments.
    const lines = 2 + Math.floor(Math.random() * 40);
    const ended = once(child, 'close');
    while (output.split('\n').length < lines && child.exitCode === null)
      await Promise.race([once(child.stdout!, 'data'), ended]);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
    child.kill('SIGKILL');
    await ended;

    // A writer that was killed at once holds nothing: "held " and no more.
    const [first = '', ...turns] = output.split('\n').slice(0, -1);
    expect(first).toMatch(/^held /);
    const held = new Set(
      first
        .slice('held '.length)
        .split(',')
        .filter((uid) => uid !== '')
        .map((uid) => Number(uid.slice(4))),
    );
    // What was promised before the last kill is still held; it may hold one more, whose promise was cut off.
    expect([...promised].filter((n) => !held.has(n))).toEqual([]);
    expect(held.size - promised.size).toBeLessThanOrEqual(1);
    promised.clear();
    for (const n of held) promised.add(n);
    for (const turn of turns) {
      if (turn.startsWith('+')) promised.add(Number(turn.slice(1)));
      else promised.delete(Number(turn.slice(1)));
      prepared++;
    }
    await expectWhole(promised);
  }
  expect(prepared).toBeGreaterThan(KILLS);
}, 600_000);

/** The state is readable, names every promised claim once, and each has its CDI specification. */
async function expectWhole(promised: ReadonlySet<number>): Promise<void> {
  const checkpoint = new Checkpoint<PreparedClaims>(join(dir, 'state/prepared.json'), preparedFromJson);
  const read = await checkpoint.read(silentLog);
  if (promised.size === 0 && read.kind === 'missing') return;
  expect(read.kind).toBe('read');
  if (read.kind !== 'read') return;
  const bdfs = [...read.value.values()].flatMap(({ devices }) => devices.map(({ bdf }) => bdf));
  expect(new Set(bdfs).size).toBe(bdfs.length);
  for (const n of promised) {
    expect(read.value.has(`uid-${n}`)).toBe(true);
    expect(existsSync(join(dir, `cdi/vsmmu.io-claim-uid-${n}.json`))).toBe(true);
  }
  for (const name of readdirSync(join(dir, 'cdi')).filter((file) => file.endsWith('.json'))) {
    expect((): unknown => JSON.parse(readFileSync(join(dir, 'cdi', name), 'utf8'))).not.toThrow();
  }
}

function hostOf(count: number): string {
  const root = join(dir, 'host');
  for (let n = 0; n < count; n++) {
    const device = join(root, `sys/bus/pci/devices/0000:0${n}:00.0`);
    mkdirSync(device, { recursive: true });
    mkdirSync(join(root, 'dev/vfio'), { recursive: true });
    writeFileSync(join(root, `dev/vfio/${n}`), '');
    symlinkSync('../../drivers/vfio-pci', join(device, 'driver'));
    symlinkSync(`../../../kernel/iommu_groups/${n}`, join(device, 'iommu_group'));
  }
  writeFileSync(join(root, 'dev/vfio/vfio'), '');
  return root;
}
