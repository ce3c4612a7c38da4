import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { devicesOf, Oracle } from '../libvirt/chroot.mjs';
import { startable } from '../libvirt/startable.mjs';

/** Two GPUs of two SMMUs that can do everything, CMDQV too (see its README). */
const HOST = ['test', 'fixtures', 'hosts', 'grace-2gpu'];
const FIXTURES = ['test', 'fixtures', 'domain'];
const STRONG = { accel: true, cmdqv: 'on', ats: 'on', ril: 'on', ssidsize: '20', oas: '48' };
const TARGETS = ['native', 'override', 'both'];

const checks = [
  'a topology that vsmmu built: every device behind the vSMMU of its host SMMU',
  'a vSMMU that was split: the switch keeps its device, the other one gets a vSMMU',
  'values set by hand arrive, and nothing else changes',
  'Generic Initiators: every device gets the nodes that were made for it',
  "aliases: libvirt numbers devices as vsmmu's overrides foresee",
  'several overrides of one alias become one, and QEMU gets the same',
  'libvirt fills empty ports, also below an expander bus: such a domain is refused or warned of',
  'what libvirt hands back of a built topology needs no further rewrite',
  'no new error by the RELAX NG schema in built and split topologies',
  "the launcher's own answers choose where properties go",
  "Debian 12's libvirt is refused, since it would ignore everything",
];

export const suite = {
  name: 'domain',
  needs: 'libvirt and QEMU of a newer Debian in a chroot; root, mmdebstrap, jing',
  timeoutMinutes: 8,
  checks,
  async run(ctx) {
    const oracle = await Oracle.open(ctx);
    const bench = new Bench(ctx, oracle);
    const [built, split, byHand, initiators, aliases, merged, unplaced, back, schema, launcher, debian12] =
      checks;

    await ctx.check(built, async () => {
      for (const target of TARGETS) {
        const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete', '--target', target);
        const { smmus, vfio } = await bench.argv(xml);
        assert.deepEqual(smmus, [
          { id: 'iommu0', 'primary-bus': 'pci.1', ...STRONG },
          { id: 'iommu1', 'primary-bus': 'pci.3', ...STRONG },
        ]);
        assert.deepEqual(vfio, [
          { id: 'hostdev0', iommufd: 'iommufd0', bus: 'pci.4', ats: 'on' },
          { id: 'ua-first', iommufd: 'iommufd0', bus: 'pci.2', ats: 'on' },
        ]);
      }
    });

    await ctx.check(split, async () => {
      const { smmus, vfio } = await bench.argv(await bench.rewrite('mixed.xml', '--regroup'));
      assert.deepEqual(
        smmus.map((smmu) => [smmu.id, smmu['primary-bus'], smmu.ssidsize]),
        [
          ['iommu0', 'pci.1', '20'],
          ['iommu1', 'pci.6', '20'],
        ],
      );
      assert.deepEqual(vfio, [
        { id: 'ua-first', iommufd: 'iommufd0', bus: 'pci.4', 'x-vpasid-cap-offset': 0, ats: 'on' },
        { id: 'hostdev0', iommufd: 'iommufd0', bus: 'pci.7', ats: 'on' },
      ]);
    });

    await ctx.check(byHand, async () => {
      const wishes = 'cmdqv=off,ril=off,ssidsize=8,oas=44,ats=off';
      const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete', '--set', wishes);
      const { smmus, vfio } = await bench.argv(xml);
      const values = { accel: true, cmdqv: 'off', ats: 'off', ril: 'off', ssidsize: '8', oas: '44' };
      assert.deepEqual(smmus, [
        { id: 'iommu0', 'primary-bus': 'pci.1', ...values },
        { id: 'iommu1', 'primary-bus': 'pci.3', ...values },
      ]);
      assert.deepEqual(
        vfio.map(({ ats }) => ats),
        ['off', 'off'],
      );
    });

    await ctx.check(initiators, async () => {
      const numa = "<cpu><numa><cell id='0' cpus='0' memory='1' unit='GiB'/></numa></cpu><features>";
      const text = (await bench.read('no-topology.xml')).replace('<features>', numa);
      const xml = await bench.rewriteText(text, '--topology', 'complete', '--initiators', '2');
      const argv = await bench.rawArgv(xml);
      const objects = argv
        .filter((word) => word.includes('acpi-generic-initiator'))
        .map((word) => JSON.parse(word))
        .map((object) => [object['pci-dev'], object.node]);
      assert.deepEqual(objects.sort(), [
        ['hostdev0', 3],
        ['hostdev0', 4],
        ['ua-first', 1],
        ['ua-first', 2],
      ]);
    });

    await ctx.check(aliases, async () => {
      const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete');
      const named = xml.replace("<iommu model='smmuv3'>", "<iommu model='smmuv3'><alias name='ua-mine'/>");
      const again = await bench.rewriteText(named, '--target', 'override');
      const { smmus } = await bench.argv(again);
      assert.deepEqual(
        smmus.map(({ id }) => id),
        ['ua-mine', 'iommu1'],
      );
      assert.match(again, /<qemu:device alias='iommu1'>/);
    });

    await ctx.check(merged, async () => {
      const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete');
      const entry = (name, value) =>
        `<qemu:device alias='ua-first'><qemu:frontend><qemu:property name='${name}' type='string' value='${value}'/></qemu:frontend></qemu:device>`;
      const several = xml
        .replace('<qemu:override>', `<qemu:override>${entry('ats', 'off')}${entry('x-a', '1')}`)
        .replace('</qemu:override>', `</qemu:override><qemu:override>${entry('x-a', '2')}</qemu:override>`);
      const one = await bench.rewriteText(several);
      assert.equal(one.match(/alias='ua-first'/g).length, 1);
      const [before, after] = [await bench.argv(several), await bench.argv(one)];
      assert.deepEqual(after, before);
      assert.equal(after.vfio.find(({ id }) => id === 'ua-first')['x-a'], '2');
    });

    await ctx.check(unplaced, async () => {
      const without = (await bench.read('mixed.xml')).replace("<address type='pci' bus='5'/>", '');
      const { vfio } = await bench.argv(without);
      assert.equal(vfio[1].bus, 'pci.5');
      const refused = await bench.run(['rewrite', '-', ...bench.host], { input: without, check: false });
      assert.equal(refused.status, 1);
      assert.match(refused.stderr, /error\[HOSTDEV_UNPLACED\].*hostdev0 has no guest address/);

      const usb = "<controller type='usb' model='qemu-xhci'/><iommu model";
      const emulated = (await bench.rewrite('mixed.xml', '--regroup')).replace('<iommu model', usb);
      const xhci = devicesOf(await bench.rawArgv(emulated)).find(({ driver }) => driver === 'qemu-xhci');
      assert.equal(xhci.bus, 'pci.5');
      const warned = await bench.run(['rewrite', '-', ...bench.host], { input: emulated });
      assert.match(warned.stderr, /warning\[EMULATED_DEVICE\].*port 5 behind iommu0 is empty/);
    });

    await ctx.check(back, async () => {
      const options = ['--topology', 'complete', '--target', 'both'];
      const xml = await bench.rewrite('no-topology.xml', ...options);
      const defined = await oracle.defined(startable(xml));
      assert.equal(await bench.rewriteText(defined, ...options), defined);
    });

    await ctx.check(schema, async () => {
      const documents = {};
      const names = ['no-topology.xml', 'mixed.xml', ...bench.graceNames()];
      for (const name of names) {
        const before = await bench.read(name);
        documents[`${name} before`] = before;
        for (const target of TARGETS)
          documents[`${name} ${target}`] = await bench.rewriteText(
            before,
            ...['--topology', 'complete', '--regroup', '--target', target],
          );
      }
      const errors = await oracle.validateRng(documents);
      for (const name of names) {
        const before = new Set(errors[`${name} before`]);
        for (const target of TARGETS) {
          const fresh = errors[`${name} ${target}`].filter((message) => !before.has(message));
          assert.deepEqual(fresh, [], `${name}, target ${target}`);
        }
      }
      assert.deepEqual(errors['no-topology.xml native'], []);
      assert.deepEqual(errors['mixed.xml native'], []);
    });

    await ctx.check(launcher, () =>
      bench.withPrograms(async (env) => {
        const file = bench.path('no-topology.xml');
        const options = ['--topology', 'complete', '--probe', '--explain'];
        const { stdout } = await bench.run(['rewrite', file, ...bench.host, ...options], { env });
        assert.match(stdout, /iommu0 +ril .*<driver ril='on'>/);
        assert.match(stdout, /<qemu:override> hostdev0 ats=on/);
      }),
    );

    await ctx.check(debian12, async () => {
      await ctx.apt.install('libvirt-clients');
      const virsh = await ctx.run('virsh', ['--version']);
      const { status, stderr, stdout } = await bench.run(
        ['rewrite', bench.path('no-topology.xml'), ...bench.host, '--libvirt', virsh.stdout.trim()],
        { check: false },
      );
      assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
      assert.match(stderr, /error\[TARGET_LACKS\].*libvirt 9\.0\.0 ignores pciBus/);
    });
  },
};

/** Documents, the program, and what libvirt makes of its output. */
class Bench {
  #ctx;
  #oracle;
  host;

  constructor(ctx, oracle) {
    this.#ctx = ctx;
    this.#oracle = oracle;
    this.host = ['--host', join(ctx.root, ...HOST)];
  }

  #shared(...path) {
    return join(process.env.VSMMU_SHARED_DATA ?? join(this.#ctx.root, '..', 'shared', 'data'), ...path);
  }

  /** KubeVirt's own domains, where they are. */
  graceNames() {
    return ['grace-1gpu.domain.xml', 'grace-2gpu.domain.xml'].filter((name) =>
      existsSync(this.#shared('kubevirt', name)),
    );
  }

  path(name) {
    return name.startsWith('grace')
      ? this.#shared('kubevirt', name)
      : join(this.#ctx.root, ...FIXTURES, name);
  }

  read(name) {
    return readFile(this.path(name), 'utf8');
  }

  run(args, options = {}) {
    return this.#ctx.run(process.execPath, [this.#ctx.vsmmu, ...args], { timeoutSeconds: 60, ...options });
  }

  async rewrite(name, ...options) {
    return this.rewriteText(await this.read(name), ...options);
  }

  async rewriteText(xml, ...options) {
    const { stdout } = await this.run(['rewrite', '-', ...this.host, ...options], { input: xml });
    return stdout;
  }

  rawArgv(xml) {
    return this.#oracle.argvOf(startable(xml));
  }

  /** The vSMMUs and passed-through devices that QEMU is given, without the address that libvirt adds. */
  async argv(xml) {
    const devices = devicesOf(await this.rawArgv(xml));
    const of = (driver, ...without) =>
      devices
        .filter((device) => device.driver === driver)
        .map((device) =>
          Object.fromEntries(
            Object.entries(device).filter(([key]) => key !== 'driver' && !without.includes(key)),
          ),
        );
    return { smmus: of('arm-smmuv3'), vfio: of('vfio-pci', 'addr') };
  }

  /** Calls back with a PATH on which virsh and QEMU say what the real ones in the chroot say. */
  async withPrograms(use) {
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-launcher-'));
    try {
      const { libvirt } = await this.#oracle.versions();
      const program = async (name, script) => {
        await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
        await chmod(join(folder, name), 0o755);
      };
      await program('virsh', `echo 'Using library: libvirt ${libvirt}'`);
      for (const device of ['arm-smmuv3', 'vfio-pci'])
        await writeFile(join(folder, device), await this.#oracle.qemuHelp(device));
      await program('qemu-system-aarch64', `for word; do :; done; exec cat "${folder}/\${word%,help}"`);
      await use({ PATH: `${folder}:${process.env.PATH}` });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
