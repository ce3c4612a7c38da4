import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { describe, expect, test } from '@jest/globals';

import { oneGpu } from './fixtures/domain/documents.js';

const HOST = resolve('test/fixtures/hosts/grace-2gpu');
const PROGRAM = resolve('dist/vsmmu.js');

/** A virsh that keeps one definition in a file, as libvirt does, and refuses what has <refuse/> in it. */
const VIRSH = `#!/bin/sh
case $1 in
  dumpxml) cat "$STORE" ;;
  define) if grep -q '<refuse/>' "$2"; then echo refused >&2; exit 1; fi; cat "$2" >"$STORE"; echo "Domain defined" ;;
esac
`;

function setUp(xml: string) {
  const folder = mkdtempSync(join(tmpdir(), 'vsmmu-libvirt-'));
  const store = join(folder, 'store.xml');
  writeFileSync(store, xml);
  writeFileSync(join(folder, 'virsh'), VIRSH);
  chmodSync(join(folder, 'virsh'), 0o755);
  const env = {
    PATH: `${folder}:${process.env['PATH'] ?? ''}`,
    STORE: store,
    VSMMU: `${process.execPath} ${PROGRAM}`,
    VSMMU_CHECK_OPTIONS: `--host ${HOST}`,
  };
  return { stored: () => readFileSync(store, 'utf8'), env };
}

const built = existsSync(PROGRAM) ? describe : describe.skip;

built('vsmmu-define (needs npm run build)', () => {
  function define(xml: string, ...options: readonly string[]) {
    const { env, stored } = setUp(xml);
    const args = ['docs/libvirt/vsmmu-define', 'vm1', '--host', HOST, ...options];
    const { status, stdout, stderr } = spawnSync('sh', args, { env, encoding: 'utf8' });
    return { status, stdout, stderr, stored: stored() };
  }

  test('rewrites the definition, and a second time finds nothing to change', () => {
    const first = define(oneGpu());
    expect(first).toMatchObject({ status: 0, stdout: 'Domain defined\n' });
    expect(first.stored).toContain("ssidsize='20'");
    expect(define(first.stored)).toEqual({ ...first, stdout: 'vm1: nothing to change\n' });
  });

  test.each([
    ['vsmmu', oneGpu().replace('0x0009', '0x0042'), 'error[HOSTDEV_UNKNOWN]'],
    ['libvirt', oneGpu({ after: '<refuse/>' }), 'refused'],
  ])('keeps the old definition where %s refuses', (_, xml, message) => {
    const result = define(xml);
    expect(result).toMatchObject({ status: 1, stored: xml });
    expect(result.stderr).toContain(message);
  });

  test('without a domain it tells how it is used', () => {
    expect(spawnSync('sh', ['docs/libvirt/vsmmu-define'], { encoding: 'utf8' })).toMatchObject({ status: 2 });
  });
});

built('qemu-hook (needs npm run build)', () => {
  function hook(operation: string, xml: string) {
    const { env } = setUp(xml);
    const args = ['docs/libvirt/qemu-hook', 'vm1', operation, 'begin', '-'];
    return spawnSync('sh', args, { env, input: xml, encoding: 'utf8' });
  }
  const honoured = oneGpu({
    driver: "<driver pciBus='1' accel='on' ats='off' ril='off' ssidsize='4' oas='44'/>",
  });

  test("lets the source's values pass, unchanged", () => {
    expect(hook('migrate', honoured)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  test('stops a migration that this host cannot honour, with the reason', () => {
    const result = hook('migrate', honoured.replace('0x0009', '0x0042'));
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toMatch(
      /^vsmmu: domain vm1 cannot run here:\nHOSTDEV_UNKNOWN at standard input:\d+:5/,
    );
  });

  test('has nothing to do with other operations', () => {
    expect(hook('prepare', 'no XML')).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });
});
