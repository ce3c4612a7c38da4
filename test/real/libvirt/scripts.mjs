import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { CASES } from './cases.mjs';
import { startable } from './startable.mjs';

export const scriptChecks = {
  pipe: 'virsh dumpxml | vsmmu rewrite - | virsh define /dev/stdin: libvirt keeps the resolved domain',
  define: 'docs/libvirt/vsmmu-define: defines the same, and nothing a second time',
  refused: 'docs/libvirt/vsmmu-define: the old definition stays where vsmmu or libvirt refuses',
  hook: 'docs/libvirt/qemu-hook: lets the XML of libvirt pass where the host honours it, and stops it elsewhere',
};

/**
 * What docs/libvirt.md tells people to do, with libvirt's own store of domains. A migration is not run: QEMU doesn't
 * migrate accelerated vSMMUs yet. The hook is given what libvirt would hand it.
 */
export async function checkScripts(ctx, oracle) {
  const programs = await oracle.programs();
  const scripts = await Scripts.open(ctx, programs);
  try {
    const [{ domain, host }] = CASES;
    scripts.host = host;
    const original = startable(await readFile(resolve(ctx.root, domain), 'utf8'));
    const values = /cmdqv|ats='on' ril='on' ssidsize='20' oas='48'/;
    let before, resolved;

    await ctx.check(scriptChecks.pipe, async () => {
      before = await scripts.define(original);
      assert.doesNotMatch(before, values);
      await scripts.shell(
        'virsh dumpxml "$DOMAIN" | vsmmu rewrite - --host "$HOST" | virsh define /dev/stdin',
      );
      resolved = await scripts.stored();
      assert.match(resolved, values);
      assert.match(resolved, /<qemu:device alias='ua-gpu-gpu0'>/);
    });
    await ctx.check(scriptChecks.define, async () => {
      await scripts.define(before);
      const first = await scripts.vsmmuDefine();
      assert.deepEqual([first.status, await scripts.stored()], [0, resolved], first.stderr);
      const second = await scripts.vsmmuDefine();
      assert.match(second.stdout, /: nothing to change$/m);
      assert.equal(await scripts.stored(), resolved);
    });
    await ctx.check(scriptChecks.refused, async () => {
      assert.equal(await scripts.define(before), before);
      const unknown = await scripts.vsmmuDefine('--host', 'test/fixtures/hosts/linux-7.2-iommufd');
      assert.equal(unknown.status, 1);
      assert.match(unknown.stderr, /error\[HOSTDEV_UNKNOWN\]/);
      // libvirt takes ua-... aliases only once.
      const twice = await scripts.vsmmuDefineAfter('sed s/ua-hostdevice-nic0/ua-gpu-gpu0/');
      assert.notEqual(twice.status, 0);
      assert.match(twice.stderr, /error: .*ua-gpu-gpu0/);
      assert.equal(await scripts.stored(), before);
    });
    await ctx.check(scriptChecks.hook, async () => {
      // libvirt would not store a domain for KVM here.
      const incoming = resolved.replace("<domain type='qemu'", "<domain type='kvm'");
      assert.deepEqual(await scripts.hook(incoming), { status: 0, stdout: '', stderr: '' });
      const stopped = await scripts.hook(incoming.replace(/ssidsize='16'/, "ssidsize='20'"));
      assert.deepEqual([stopped.status, stopped.stdout], [1, '']);
      assert.match(stopped.stderr, /cannot run here:\nHOST_SSIDSIZE at standard input:\d+:\d+: iommu1/);
    });
  } finally {
    await scripts.close();
  }
}

/** A shell in which virsh, QEMU and vsmmu are at hand, and one domain of libvirt's. */
class Scripts {
  #ctx;
  #folder;
  #name;
  host;

  static async open(ctx, folder) {
    const program = (name, lines) =>
      writeFile(join(folder, 'bin', name), `#!/bin/sh\n${lines}\n`, { mode: 0o755 });
    await mkdir(join(folder, 'bin'));
    await program('vsmmu', `exec "${process.execPath}" "${ctx.vsmmu}" "$@"`);
    // libvirt embedded in virsh lets in one process at a time, where a daemon would serve both ends of a pipe: the
    // second one waits for the first, and for its own input before that.
    await program(
      'virsh',
      `input=$(mktemp)
case "$*" in */dev/stdin) cat >"$input" ;; esac
exec flock "${folder}/lock" "${folder}/virsh" "$@" <"$input"`,
    );
    return new Scripts(ctx, folder);
  }

  constructor(ctx, folder) {
    this.#ctx = ctx;
    this.#folder = folder;
  }

  /** @returns {Promise<string>} what libvirt keeps of it */
  async define(xml) {
    this.#name = /<name>([^<]+)<\/name>/.exec(xml)[1];
    await this.shell('cat > "$TMPDIR/domain.xml"; virsh define "$TMPDIR/domain.xml"', { input: xml });
    return this.stored();
  }

  async stored() {
    return (await this.shell('virsh dumpxml --inactive "$DOMAIN"')).stdout;
  }

  vsmmuDefine(...options) {
    return this.#define(`vsmmu`, options);
  }

  /** With a vsmmu whose output goes through another program. */
  async vsmmuDefineAfter(filter) {
    const program = join(this.#folder, 'bin', 'filtered');
    await writeFile(program, `#!/bin/sh\nvsmmu "$@" | ${filter}\n`, { mode: 0o755 });
    return this.#define('filtered', []);
  }

  #define(program, options) {
    const args = ['--host', this.host, ...options];
    const script = `VSMMU=${program} sh docs/libvirt/vsmmu-define "$DOMAIN" ${args.join(' ')}`;
    return this.shell(script, { check: false });
  }

  hook(xml) {
    const script = `VSMMU_CHECK_OPTIONS="--host $HOST" sh docs/libvirt/qemu-hook "$DOMAIN" migrate begin -`;
    return this.shell(script, { input: xml, check: false });
  }

  async shell(script, options = {}) {
    const { status, stdout, stderr } = await this.#ctx.run('sh', ['-ec', script], {
      cwd: this.#ctx.root,
      timeoutSeconds: 120,
      label: script,
      env: {
        PATH: `${join(this.#folder, 'bin')}:${process.env.PATH}`,
        TMPDIR: join(this.#folder, 'files'),
        DOMAIN: this.#name ?? '',
        HOST: this.host,
      },
      ...options,
    });
    return { status, stdout, stderr: stderr.replace(/^20\d\d-\d\d-\d\d .*\n/gm, '') };
  }

  async close() {
    if (this.#name !== undefined) await this.shell('virsh undefine --keep-nvram "$DOMAIN"', { check: false });
    await rm(this.#folder, { recursive: true, force: true });
  }
}
