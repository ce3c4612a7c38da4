import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';
import { devicesOf, Oracle } from '../libvirt/chroot.mjs';
import { startable } from '../libvirt/startable.mjs';

/** Two GPUs of two SMMUs that can do everything, CMDQV too (see its README). */
const HOST = ['test', 'fixtures', 'hosts', 'grace-2gpu'];
const FIXTURES = ['test', 'fixtures', 'domain'];
const STRONG = { accel: true, ats: 'on', ril: 'on', ssidsize: '20', oas: '48' };

const checks = [
  'libvirt >= 12.7 and QEMU >= 11.1 are at work',
  'a topology that vsmmu built: every device behind the vSMMU of its host SMMU',
  'a vSMMU that was split: the switch keeps its device, the other one gets a vSMMU',
  'values set by hand arrive, and nothing else changes',
  "aliases: libvirt numbers devices as vsmmu's overrides foresee",
  'what libvirt hands back needs no further rewrite',
  'no new error by the RELAX NG schema',
  "the launcher's own answers choose where properties go",
  "Debian 12's libvirt is refused, since it would ignore everything",
];
const TARGETS = ['native', 'override', 'both'];
const graceChecks = TARGETS.map((target) => `KubeVirt's Grace domains, target ${target}`);

export const suite = {
  name: 'rewrite',
  needs: 'libvirt and QEMU of a newer Debian in a chroot',
  timeoutMinutes: 8,
  checks: [...checks, ...graceChecks],
  async run(ctx) {
    const oracle = await Oracle.open(ctx);
    const bench = new Bench(ctx, oracle);
    const [versions, built, split, byHand, aliases, back, schema, launcher, debian12] = checks;

    await ctx.check(versions, async () => {
      const { libvirt, qemu } = await oracle.versions();
      ctx.log(`libvirt ${libvirt}, QEMU ${qemu}`);
      assert.match(libvirt, /^(12\.([7-9]|\d\d)|1[3-9])\./);
      assert.match(qemu, /^(11\.[1-9]|1[2-9]\.)/);
    });

    await ctx.check(built, async () => {
      for (const target of TARGETS) {
        const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete', '--target', target);
        const { smmus, vfio } = await bench.argv(xml);
        assert.deepEqual(smmus, [
          { id: 'iommu0', 'primary-bus': 'pci.1', ...STRONG, cmdqv: 'on' },
          { id: 'iommu1', 'primary-bus': 'pci.3', ...STRONG, cmdqv: 'on' },
        ]);
        assert.deepEqual(vfio, [
          { id: 'hostdev0', iommufd: 'iommufd0', bus: 'pci.4', ats: 'on' },
          { id: 'ua-first', iommufd: 'iommufd0', bus: 'pci.2', ats: 'on' },
        ]);
      }
    });

    await ctx.check(split, async () => {
      const xml = await bench.rewrite('mixed.xml', '--regroup');
      const { smmus, vfio } = await bench.argv(xml);
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
      for (const smmu of smmus) {
        assert.deepEqual(
          { ...smmu, id: '', 'primary-bus': '' },
          {
            id: '',
            'primary-bus': '',
            accel: true,
            cmdqv: 'off',
            ats: 'off',
            ril: 'off',
            ssidsize: '8',
            oas: '44',
          },
        );
      }
      assert.deepEqual(
        vfio.map(({ ats }) => ats),
        ['off', 'off'],
      );
    });

    await ctx.check(aliases, async () => {
      const xml = await bench.rewrite('no-topology.xml', '--topology', 'complete');
      const named = xml.replace("<iommu model='smmuv3'>", "<iommu model='smmuv3'><alias name='ua-mine'/>");
      const again = await bench.rewriteText(named, '--target', 'override');
      const { smmus } = await bench.argv(again);
      assert.deepEqual(
        smmus.map(({ id, ril }) => [id, ril]),
        [
          ['ua-mine', 'on'],
          ['iommu1', 'on'],
        ],
      );
      assert.match(again, /<qemu:device alias='iommu1'>/);
    });

    await ctx.check(back, async () => {
      const options = ['--topology', 'complete', '--target', 'both'];
      const xml = await bench.rewrite('no-topology.xml', ...options);
      const defined = await oracle.defined(startable(xml));
      assert.equal(await bench.rewriteText(defined, ...options), defined);
    });

    await ctx.check(schema, async () => {
      const documents = {};
      const names = ['no-topology.xml', 'mixed.xml', ...(await bench.graceNames())];
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
    });

    await ctx.check(launcher, () =>
      bench.withPrograms(async (env) => {
        const options = ['--topology', 'complete', '--probe', '--explain'];
        const probed = await bench.run(
          ['rewrite', bench.path('no-topology.xml'), ...bench.host, ...options],
          { env },
        );
        assert.match(probed.stdout, /iommu0 +ril .*<driver ril='on'>/);
        assert.match(probed.stdout, /<qemu:override> hostdev0 ats=on/);
      }),
    );

    await ctx.check(debian12, async () => {
      await ctx.apt.install('libvirt-clients');
      const { stdout } = await ctx.run('virsh', ['--version']);
      const {
        status,
        stderr,
        stdout: printed,
      } = await bench.run(
        ['rewrite', bench.path('no-topology.xml'), ...bench.host, '--libvirt', stdout.trim()],
        { check: false },
      );
      assert.equal(status, 1, stderr);
      assert.equal(printed, '');
      assert.match(stderr, /error\[TARGET_LACKS\].*libvirt 9\.0\.0 ignores pciBus/);
    });

    for (const [index, target] of TARGETS.entries())
      await ctx.check(graceChecks[index], async () => {
        const names = await bench.graceNames();
        if (names.length === 0) throw new NotRun('no domain made by KubeVirt here (VSMMU_SHARED_DATA)');
        for (const name of names) {
          const gpus = name.includes('2gpu') ? 2 : 1;
          const { smmus, vfio } = await bench.argv(await bench.rewrite(name, '--target', target));
          assert.deepEqual(
            smmus,
            [1, 3].slice(0, gpus).map((bus, place) => ({
              id: `iommu${place}`,
              'primary-bus': `pci.${bus}`,
              ...STRONG,
              cmdqv: 'on',
            })),
          );
          assert.deepEqual(
            vfio,
            [2, 4].slice(0, gpus).map((bus, place) => ({
              id: `ua-gpu-gpu${place}`,
              iommufd: 'iommufd0',
              bus: `pci.${bus}`,
              ats: 'on',
            })),
          );
        }
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

  async graceNames() {
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

  /** The vSMMUs and passed-through devices that QEMU is given, without what libvirt adds by itself. */
  async argv(xml) {
    const devices = devicesOf(await this.#oracle.argvOf(startable(xml)));
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
