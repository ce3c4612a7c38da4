import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { runReader } from '../src/cli/commands/reader.js';
import { ExitStatus } from '../src/errors.js';
import { capturedIo } from './captured-io.js';
import {
  buildKit,
  findCompiler,
  liveProbe,
  readUntil,
  replyTable,
  type LiveProbeKit,
} from './shim/live-probe.js';
import { materialise } from './shim/recorded-root.js';

const HOST = 'src/cli/demo/two-gpu-host';
const compiler = findCompiler();

describe('vsmmu reader', () => {
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'vsmmu-reader-'));
    materialise(HOST, root);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const options = { once: true, rescanSeconds: 60, logLevel: 'info', logFormat: 'json' } as const;
  const lines = (text: string) =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test('says what it read and what it could not ask, and ends where it is told to read once', async () => {
    const io = capturedIo();
    expect(await runReader({ ...options, root }, io)).toBe(ExitStatus.ok);
    const logged = lines(io.err());
    expect(logged[0]).toMatchObject({ message: 'The host was read.', smmus: 2, smmusAnswered: 0 });
    // A regular file stands where /dev/iommu would: the kernel knows no such question of it.
    expect(logged.slice(1).map(({ code }) => code)).toContain('PROBE_NOT_SUPPORTED');
  });

  test('goes on until it is told to stop', async () => {
    const stop = new AbortController();
    const io = capturedIo('', { signal: stop.signal });
    const done = runReader({ ...options, once: false, root }, io);
    while (!io.err().includes('The host was read.')) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    expect(await done).toBe(ExitStatus.ok);
  });

  const withCompiler = compiler === undefined ? describe.skip : describe;
  withCompiler('with the kernel’s answers (needs gcc for its stand-in)', () => {
    let kit: LiveProbeKit;
    beforeAll(() => {
      kit = buildKit(compiler ?? '');
    });
    afterAll(() => rmSync(kit.dir, { recursive: true, force: true }));

    test('leaves them to an agent that may ask nothing', async () => {
      const cachePath = join(kit.dir, 'run', 'hw-info.json');
      mkdirSync(join(kit.dir, 'run'));
      const table = replyTable(HOST, vfioNames(root));
      const asked = await liveProbe(kit, { root, cachePath }, table);
      expect(asked.calls).toContain('bind vfio0');

      const io = capturedIo();
      await runReader({ ...options, root, cachePath }, io);
      expect(lines(io.err())[0]).toMatchObject({ smmusAnswered: 2 });

      const agent = await liveProbe(kit, { root, cachePath, bind: false }, []);
      expect(agent.calls).toEqual([]);
      const registers = agent.report.smmus.map((smmu) => smmu.registers);
      expect(registers.map(({ known }) => known)).toEqual([true, true]);
      expect(registers).toMatchObject(
        asked.report.smmus.map((smmu) => ({
          value: smmu.registers.known ? smmu.registers.value : undefined,
        })),
      );
      expect(readFileSync(cachePath, 'utf8')).not.toBe('');
    });

    test('binds a device once that answers nothing, however often it looks: each time would reset it', async () => {
      const [first = '', second = ''] = vfioNames(root).values();
      const { EOPNOTSUPP, EBUSY } = constants.errno;
      const table = [`reply ${first} 0 0 -1 ${EOPNOTSUPP} - -`, `fail bind ${second} ${EBUSY}`];
      const looking = { ...options, root, once: false, rescanSeconds: 0.1 };
      // What could not be bound is tried at every look, without a reset.
      const calls = await readUntil(kit, looking, table, { call: `bind ${second}`, times: 3 });
      expect(calls.filter((call) => call === `bind ${first}`)).toHaveLength(1);
    });
  });
});

/** Names that sysfs gives the devices' cdevs, by BDF. */
function vfioNames(root: string): Map<string, string> {
  const devices = join(root, 'sys/bus/pci/devices');
  const names = new Map<string, string>();
  for (const bdf of readdirSync(devices)) {
    try {
      const [name] = readdirSync(join(devices, bdf, 'vfio-dev'));
      if (name !== undefined) names.set(bdf, name);
    } catch {
      // No VFIO driver has it.
    }
  }
  return names;
}
