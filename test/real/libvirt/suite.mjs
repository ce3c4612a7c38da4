import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { NotRun } from '../lib/outcome.mjs';
import { CASES } from './cases.mjs';
import { Oracle, devicesOf } from './chroot.mjs';
import { checkScripts, scriptChecks } from './scripts.mjs';
import { startable, withoutNewAttributes } from './startable.mjs';

const TARGETS = ['native', 'override', 'both'];
const PROBED = 'vsmmu rewrite --probe asks the newer libvirt and QEMU, and writes native attributes for them';
const OLD =
  "vsmmu rewrite --probe asks Debian 12's libvirt, which drops all of a vSMMU's values, and writes nothing for it";
const DOCTOR = 'vsmmu doctor finds the abilities of the newer QEMU and libvirt in their root folder';
const RNG = 'RELAX NG: jing finds no error in a rewritten domain that was not there before';

const title = {
  versions: 'libvirt and QEMU are new enough to know the properties',
  help: "QEMU's help names every property that vsmmu writes",
  argv: ({ name }, target) => `${name}, ${target}: QEMU's arguments carry the resolved values`,
  stripped: ({ name }) =>
    `${name}, override: nothing is lost to a libvirt before 12.7 or to KubeVirt's plugin pipeline`,
  keep: ({ name }) =>
    `${name}, --existing keep: the VM's own values are kept, or refused where the host lacks them`,
  again: ({ name }) => `${name}: unchanged when libvirt hands it back with addresses assigned`,
  qemu: ({ name }) => `${name}: QEMU's parser takes every property, and stops only for want of KVM`,
};

const titlesOf = (each) => [
  ...TARGETS.map((target) => title.argv(each, target)),
  ...[title.stripped, title.keep, title.again, title.qemu].map((of) => of(each)),
];

export const suite = {
  name: 'libvirt',
  needs: 'libvirt and QEMU of a newer Debian in a chroot; root, mmdebstrap, jing',
  timeoutMinutes: 8,
  checks: [
    title.versions,
    title.help,
    ...CASES.flatMap(titlesOf),
    PROBED,
    OLD,
    DOCTOR,
    ...Object.values(scriptChecks),
    RNG,
  ],
  async run(ctx) {
    const oracle = await Oracle.open(ctx);
    await ctx.check(title.versions, async () => {
      const { libvirt, qemu } = await oracle.versions();
      ctx.log(`libvirt ${libvirt}, QEMU ${qemu}`);
      assert.ok(atLeast(libvirt, [12, 7]), `libvirt ${libvirt}`);
      assert.ok(atLeast(qemu, [11, 1]), `QEMU ${qemu}`);
    });
    await ctx.check(title.help, async () => {
      const smmu = await oracle.qemuHelp('arm-smmuv3');
      for (const name of ['accel', 'ats', 'ril', 'ssidsize', 'oas', 'cmdqv', 'primary-bus'])
        assert.match(smmu, new RegExp(`^ *${name}=`, 'm'));
      assert.match(await oracle.qemuHelp('vfio-pci'), /^ *ats=/m);
    });
    const documents = {};
    for (const each of CASES) await checkCase(ctx, oracle, each, documents);
    await ctx.check(PROBED, () => checkProbe(ctx, oracle));
    await ctx.check(OLD, () => checkOldLibvirt(ctx));
    await ctx.check(DOCTOR, () => checkDoctor(ctx, oracle));
    await checkScripts(ctx, oracle);
    await ctx.check(RNG, () => checkSchema(oracle, documents));
  },
};

async function checkCase(ctx, oracle, each, documents) {
  const domain = each.domain.replace('$DATA', process.env.VSMMU_SHARED_DATA ?? '../shared/data');
  const path = resolve(ctx.root, domain);
  if (!existsSync(path)) {
    for (const name of titlesOf(each)) ctx.notRun(name, `${domain} is missing`);
    return;
  }
  const original = await readFile(path, 'utf8');
  documents[each.name] = original;
  const rewrite = (text, ...options) => vsmmuRewrite(ctx, text, each.host, ...options);

  for (const target of TARGETS) {
    await ctx.check(title.argv(each, target), async () => {
      const text = await rewrite(original, '--target', target);
      documents[`${each.name}, ${target}`] = text;
      const devices = devicesOf(await oracle.argvOf(startable(text)));
      assert.deepEqual(passedThrough(devices), each.devices);
    });
  }
  await ctx.check(title.stripped(each), async () => {
    const text = withoutNewAttributes(startable(await rewrite(original, '--target', 'override')));
    assert.deepEqual(passedThrough(devicesOf(await oracle.argvOf(text))), each.devices);
  });
  await ctx.check(title.keep(each), async () => {
    const kept = rewrite(original, '--existing', 'keep');
    if (each.keep instanceof RegExp) {
      await assert.rejects(kept, each.keep);
      return;
    }
    const devices = passedThrough(devicesOf(await oracle.argvOf(startable(await kept))));
    for (const { smmu } of Object.values(devices)) {
      assert.notEqual(smmu.cmdqv, 'off', 'a property that nobody set is resolved, not turned off');
      delete smmu.cmdqv;
    }
    assert.deepEqual(devices, each.keep);
  });
  await ctx.check(title.again(each), async () => {
    const returned = await oracle.defined(startable(await rewrite(original)));
    assert.equal(await rewrite(returned), returned);
  });
  await ctx.check(title.qemu(each), async () => {
    const argv = await oracle.argvOf(startable(await rewrite(original)));
    for (const [said, device] of await oracle.smmusTried(argv))
      assert.match(said, /requires KVM/, JSON.stringify(device));
  });
}

async function vsmmuRewrite(ctx, text, host, ...options) {
  return (await vsmmuRewriteIn({}, ctx, text, host, ...options)).stdout;
}

function vsmmuRewriteIn(env, ctx, text, host, ...options) {
  return ctx.run(process.execPath, [ctx.vsmmu, 'rewrite', '-', '--host', host, ...options], {
    env,
    input: text,
    cwd: ctx.root,
    timeoutSeconds: 30,
    label: `vsmmu rewrite - --host ${host} ${options.join(' ')}`,
  });
}

async function checkProbe(ctx, oracle) {
  const [{ domain, host }] = CASES;
  const original = await readFile(resolve(ctx.root, domain), 'utf8');
  const programs = await oracle.programs();
  try {
    const env = { PATH: `${programs}:${process.env.PATH}` };
    const { stdout } = await vsmmuRewriteIn(env, ctx, original, host, '--probe');
    assert.equal(stdout, await vsmmuRewrite(ctx, original, host, '--target', 'native'));
  } finally {
    await rm(programs, { recursive: true });
  }
}

async function checkDoctor(ctx, oracle) {
  const [{ host }] = CASES;
  const args = ['doctor', '--host', host, '--launcher-root', oracle.root, '-o', 'json'];
  const { stdout } = await ctx.run(process.execPath, [ctx.vsmmu, ...args], { cwd: ctx.root, check: false });
  const launcher = JSON.parse(stdout).categories.find(({ categoryName }) => categoryName === 'launcher');
  assert.deepEqual(Object.fromEntries(launcher.checks.map(({ code, result }) => [code, result])), {
    QEMU_SMMUV3: 'ok',
    QEMU_VFIO_ATS: 'ok',
    LIBVIRT_SCHEMA: 'ok',
  });
}

/** libvirt's test driver needs no daemon and no QEMU, and has the parser of the real thing. */
async function checkOldLibvirt(ctx) {
  await ctx.apt.install('libvirt-clients');
  const env = { VIRSH_DEFAULT_CONNECT_URI: 'test:///default' };
  const version = (await ctx.run('virsh', ['--version'])).stdout.trim();
  if (atLeast(version, [11, 10]))
    throw new NotRun(`this machine's libvirt is ${version}, needed is one before 11.10`);
  const [{ domain, host }] = CASES;
  const original = await readFile(resolve(ctx.root, domain), 'utf8');
  await assert.rejects(
    vsmmuRewriteIn(env, ctx, original, host, '--probe', '--qemu', '11.1'),
    new RegExp(`TARGET_LACKS.*${version}`),
  );
  // It would have been in vain: it takes a single vSMMU, and of that one's values it keeps none.
  const rewritten = await vsmmuRewrite(ctx, original, host);
  const forTestDriver = rewritten
    .replace(/type=.kvm./, "type='test'")
    .replace(/<os>[^]*<.os>/, '<os><type>hvm</type></os>')
    .replace(/(<.iommu>)[^]*<.iommu>/, '$1');
  const folder = await mkdtemp(join(tmpdir(), 'vsmmu-old-'));
  try {
    await writeFile(join(folder, 'domain.xml'), forTestDriver);
    const { stdout } = await ctx.run('virsh', ['-q', `define ${folder}/domain.xml; dumpxml demo_two-gpu`], {
      env,
    });
    assert.match(stdout, /<iommu model='smmuv3'\/>/);
    assert.doesNotMatch(stdout, /accel/);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Every passed-through device by its alias: its `ats`, and the vSMMU that its bus leads to, whole but for name and place. */
function passedThrough(devices) {
  const smmus = new Map(
    devices.filter(({ driver }) => driver === 'arm-smmuv3').map((smmu) => [smmu['primary-bus'], smmu]),
  );
  const byId = new Map(devices.map((device) => [device.id, device]));
  const smmuAbove = ({ bus }) => smmus.get(bus) ?? (byId.has(bus) ? smmuAbove(byId.get(bus)) : undefined);
  const found = devices
    .filter(({ driver }) => driver === 'vfio-pci')
    .map((device) => {
      const { driver, id, 'primary-bus': bus, ...properties } = smmuAbove(device) ?? {};
      return [device.id, { ats: device.ats, smmu: properties }];
    });
  return Object.fromEntries(found);
}

/** A rewrite may mend what the schema has against a domain (ssidSize), and may add nothing. */
async function checkSchema(oracle, documents) {
  const rewritten = Object.keys(documents).filter((name) =>
    TARGETS.some((target) => name.endsWith(`, ${target}`)),
  );
  if (rewritten.length === 0) throw new NotRun('no domain was rewritten');
  const verdicts = await oracle.validateRng(documents);
  for (const name of rewritten) {
    const before = verdicts[name.slice(0, name.lastIndexOf(', '))];
    const added = verdicts[name].filter((message) => !before.includes(message));
    assert.deepEqual(added, [], name);
  }
  // The oracle must be able to say no, or its silence means nothing.
  const [broken] = Object.values(
    await oracle.validateRng({ broken: '<domain type="qemu"><iommu/></domain>' }),
  );
  assert.notDeepEqual(broken, []);
}

function atLeast(version, [major, minor]) {
  const [a, b] = version.split('.').map(Number);
  return a > major || (a === major && b >= minor);
}
