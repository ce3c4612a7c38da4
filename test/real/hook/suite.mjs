// KubeVirt's own hook manager (its Go module, at the version in ../go/go.mod) as the client of `vsmmu hook`, and its
// DomainSpec as the reader of what came back: virt-launcher's side of a boot without libvirt.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ControlGroup } from '../kubernetes/control-group.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { goProgram } from '../kubernetes/go-program.mjs';
import { JsonLinesProgram } from '../kubernetes/json-lines.mjs';
import { NotRun } from '../lib/outcome.mjs';
import { PLUGIN, pluginChecks } from './plugin.mjs';

const QEMU_UID = 107; // virt-launcher's user of a VM that isn't root's
/** A VM that passes nothing through. */
const PLAIN = `<domain type="kvm"><name>plain</name><memory unit="GiB">1</memory><os><type arch="aarch64" machine="virt">hvm</type></os>
<devices><interface type="ethernet"><model type="virtio"/></interface><controller type="usb" index="0" model="none"/></devices></domain>`;
const RESOLVED = 'vsmmu.io/resolved';

const CHECKS = {
  collect:
    "KubeVirt's manager collects the socket of a sidecar as user 107, without capabilities, on a read-only root",
  early: 'the manager waits for a sidecar that starts after it',
  two: 'two sidecars of ours in one pod are both collected',
  values: "OnDefineDomain: every vSMMU has the values that the node's annotation leads to",
  readable: "KubeVirt's DomainSpec reads what came back, and the devices in it are those that went in",
  again: "called three times in a boot over KubeVirt's lossy read-back: the same values each time",
  untouched: 'a VM without passed-through devices keeps its XML byte for byte',
  closed: 'without values it fails closed with a code and a remedy, and the next call with values works',
  stranger: "another node's values are refused",
  crash: 'a sidecar that was killed between Info and OnDefineDomain works again after its restart',
  parallel: 'ten domains at once, each with its own answer',
  limits: 'it works within the 200m CPU and 64 MB that KubeVirt gives a sidecar',
  shutdown: 'Shutdown: the program ends with status 0 and takes its socket with it',
};

export const suite = {
  name: 'hook',
  needs: "Go, for KubeVirt's hook manager; root, for the user and limits of a sidecar",
  timeoutMinutes: 6,
  checks: [...Object.values(CHECKS), ...Object.values(PLUGIN)],
  async run(ctx) {
    const program = await goProgram(ctx, 'kubevirt-hooks');
    // An image's files are readable to every user; the build of this run may not be.
    const image = await mkdtemp(join(tmpdir(), 'vsmmu-image-'));
    try {
      await cp(dirname(ctx.vsmmu), image, { recursive: true });
      await chmod(image, 0o755);
      const vsmmu = join(image, 'vsmmu.js');
      const pod = (name) => Pod.create(ctx, program, vsmmu, name);
      const input = await example(ctx);
      await checks(ctx, pod, input);
      await pluginChecks(ctx, program, vsmmu, {
        ...input,
        expected: (sent) => expectedSmmus(sent, input.vmi),
        defineAsSidecar: () => defineAsSidecar(pod('beside-plugins'), input),
      });
    } finally {
      await rm(image, { recursive: true, force: true });
    }
  },
};

async function checks(ctx, pod, { domain, vmi }) {
  await withPod(pod('collect'), async (one) => {
    const collected = await ctx.check(CHECKS.collect, async () => {
      await one.startSidecar(0, { hardened: true });
      const { milliseconds } = await one.launcher.call('collect', { sidecars: 1, timeoutSeconds: 60 });
      ctx.log(`collected after ${milliseconds} ms (the manager looks every 300 ms)`);
      assert.deepEqual(await readdir(one.folder(0)), ['hook-sidecar-0.sock']);
    });
    if (!collected) return;
    let defined;
    await ctx.check(CHECKS.values, async () => {
      defined = await one.launcher.call('define', { domain, vmi });
      ctx.log(`OnDefineDomain took ${defined.microseconds} µs as KubeVirt sees it`);
      assert.deepEqual(smmus(defined.defined), expectedSmmus(defined.sent, vmi));
    });
    await ctx.check(CHECKS.readable, () => {
      const sent = hostDevices(defined.sent);
      assert.ok(sent.length > 0, 'the domain passes no device through: the check would show nothing');
      assert.deepEqual(hostDevices(defined.readBack), sent);
    });
    await ctx.check(CHECKS.again, async () => {
      const first = smmus(defined.defined);
      const second = await one.launcher.call('define', { domain: defined.readBack, vmi });
      assert.deepEqual(smmus(second.defined), first);
      const third = await one.launcher.call('define', { domain: second.readBack, vmi });
      assert.deepEqual(smmus(third.defined), first);
      assert.equal(third.defined, second.defined, 'the second and the third answer differ');
    });
    await ctx.check(CHECKS.untouched, async () => {
      const answer = await one.launcher.call('define', { domain: PLAIN, vmi });
      assert.equal(answer.defined, answer.sent);
    });
    await ctx.check(CHECKS.closed, async () => {
      const bare = structuredClone(vmi);
      delete bare.metadata.annotations[RESOLVED];
      await assert.rejects(
        one.launcher.call('define', { domain, vmi: bare }),
        /ANNOTATION_MISSING.*webhook/s,
      );
      await one.launcher.call('define', { domain, vmi });
    });
    await ctx.check(CHECKS.stranger, async () => {
      const elsewhere = { ...vmi, status: { ...vmi.status, nodeName: 'another-node' } };
      await assert.rejects(one.launcher.call('define', { domain, vmi: elsewhere }), /ANNOTATION_NODE/);
    });
    await ctx.check(CHECKS.parallel, async () => {
      const names = Array.from({ length: 10 }, (_, i) => `vm-${i}`);
      const answers = await Promise.all(
        names.map((name) =>
          one.launcher.call('define', {
            domain: domain.replace(/<name>.*?<\/name>/, `<name>${name}</name>`),
            vmi,
          }),
        ),
      );
      assert.deepEqual(
        answers.map(({ defined: xml }) => /<name>(.*?)<\/name>/.exec(xml)?.[1]),
        names,
      );
    });
    await ctx.check(CHECKS.crash, async () => {
      await one.killSidecar(0);
      assert.deepEqual(
        await readdir(one.folder(0)),
        ['hook-sidecar-0.sock'],
        'the crash left no stale socket',
      );
      await one.startSidecar(0, { hardened: true });
      await eventually(
        'the restarted sidecar answers',
        () => one.launcher.call('define', { domain, vmi }),
        30,
      );
    });
    await ctx.check(CHECKS.shutdown, async () => {
      const exited = one.exit(0);
      await one.launcher.call('shutdown');
      assert.deepEqual(await exited, { code: 0, signal: null });
      assert.deepEqual(await readdir(one.folder(0)), []);
    });
  });

  await ctx.check(CHECKS.early, () =>
    withPod(pod('early'), async (one) => {
      await one.makeFolder(0);
      const collected = one.launcher.call('collect', { sidecars: 1, timeoutSeconds: 60 });
      await one.startSidecar(0);
      await collected;
    }),
  );
  await ctx.check(CHECKS.two, () =>
    withPod(pod('two'), async (one) => {
      await one.startSidecar(0);
      await one.startSidecar(1);
      await one.launcher.call('collect', { sidecars: 2, timeoutSeconds: 60 });
      const { defined, sent } = await one.launcher.call('define', { domain, vmi });
      assert.deepEqual(smmus(defined), expectedSmmus(sent, vmi));
    }),
  );
  await ctx.check(CHECKS.limits, () => withinLimits(ctx, pod, domain, vmi));
}

/** What a sidecar that knows of Plugins returns. @returns {Promise<string>} */
function defineAsSidecar(pod, { domain, vmi }) {
  return withPod(pod, async (one) => {
    await one.startSidecar(0, { arguments: ['--plugins'] });
    await one.launcher.call('collect', { sidecars: 1, timeoutSeconds: 60 });
    return (await one.launcher.call('define', { domain, vmi })).defined;
  });
}

async function withinLimits(ctx, pod, domain, vmi) {
  const group = await ControlGroup.create(`vsmmu-hook-${process.pid}`, {
    memoryBytes: 64_000_000,
    milliCpus: 200,
  });
  try {
    await withPod(pod('limits'), async (one) => {
      await one.startSidecar(0, { group });
      const { milliseconds } = await one.launcher.call('collect', { sidecars: 1, timeoutSeconds: 60 });
      const times = [];
      for (let i = 0; i < 100; i++) {
        times.push((await one.launcher.call('define', { domain, vmi })).microseconds);
      }
      times.sort((a, b) => a - b);
      const peak = await group.peakBytes();
      ctx.log(
        `collected after ${milliseconds} ms; 100 calls p50 ${times[49]} µs, p99 ${times[98]} µs; ` +
          `peak ${(peak / 1e6).toFixed(1)} MB charged`,
      );
      assert.equal(await group.killedForMemory(), 0);
      await one.killSidecar(0);
    });
  } finally {
    await group.remove();
  }
}

/** A VM's pod as its hook sees it: the folder of sockets, sidecars, and virt-launcher's manager. */
class Pod {
  launcher;
  #ctx;
  #root;
  #image;
  #sidecars = new Map();

  /** @param {string} image the program, where every user can read it */
  static async create(ctx, program, image, name) {
    const root = await mkdtemp(join(tmpdir(), `vsmmu-${name}-`));
    await chmod(root, 0o755);
    const launcher = ctx.start(program, ['--dir', root], { stdio: ['pipe', 'pipe', 'pipe'] });
    return new Pod(ctx, root, image, new JsonLinesProgram(launcher));
  }

  constructor(ctx, root, image, launcher) {
    this.#ctx = ctx;
    this.#image = image;
    this.#root = root;
    this.launcher = launcher;
  }

  folder(index) {
    return join(this.#root, `hook-sidecar-${index}`);
  }

  async makeFolder(index) {
    await mkdir(this.folder(index), { recursive: true });
    await chown(this.folder(index), QEMU_UID, QEMU_UID);
  }

  /** KubeVirt's container: no environment but the name, user 107, no capability; nothing but the folder is writable. */
  async startSidecar(index, { hardened = false, group, arguments: more = [] } = {}) {
    if (process.getuid() !== 0) throw new NotRun('needs root to run as the user of a sidecar');
    await this.makeFolder(index);
    const folder = this.folder(index);
    const hook = [process.execPath, this.#image, 'hook', '--socket-dir', folder, ...more];
    const asQemu = [
      ...['setpriv', `--reuid=${QEMU_UID}`, `--regid=${QEMU_UID}`, '--clear-groups', '--no-new-privs'],
      ...['--bounding-set=-all', '--inh-caps=-all', ...hook],
    ];
    const script = [
      ...(group?.joinFiles ?? []).map((file) => `echo $$ > ${file}`),
      ...(hardened ? [`mount --bind ${folder} ${folder}`, 'mount -o remount,bind,ro /'] : []),
      'exec "$@"',
    ].join(' && ');
    const shell = ['sh', '-c', script, 'sh', ...asQemu];
    const [command, ...args] = hardened ? ['unshare', '--mount', ...shell] : shell;
    const child = this.#ctx.start(command, args, {
      env: { CONTAINER_NAME: `hook-sidecar-${index}`, PATH: process.env.PATH },
    });
    let said = '';
    child.stderr.on('data', (text) => (said += text));
    const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.#sidecars.set(index, { child, exit });
    await eventually(
      'the sidecar serves',
      () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}\n${said}`);
        return /"serving"/.test(said);
      },
      60,
    );
  }

  exit(index) {
    return this.#sidecars.get(index).exit;
  }

  async killSidecar(index) {
    const { child, exit } = this.#sidecars.get(index);
    this.#ctx.end(child, 'SIGKILL');
    await exit;
  }

  async close() {
    for (const index of this.#sidecars.keys()) await this.killSidecar(index);
    await this.launcher.kill();
    await rm(this.#root, { recursive: true, force: true });
  }
}

async function withPod(creating, use) {
  const pod = await creating;
  try {
    return await use(pod);
  } finally {
    await pod.close();
  }
}

/** A VM with two passed-through GPUs as KubeVirt converts it, and a node's values for it. */
async function example(ctx) {
  const demo = join(ctx.root, 'src', 'cli', 'demo');
  const node = 'node-a';
  const { stdout: annotation } = await ctx.run(process.execPath, [
    ...[ctx.vsmmu, 'resolve', '--host', join(demo, 'two-gpu-host'), '--node', node, '-o', 'annotation'],
  ]);
  const shared = process.env.VSMMU_SHARED_DATA ?? join(ctx.root, '..', 'shared', 'data');
  const converted = join(shared, 'kubevirt', 'grace-2gpu.domain.xml');
  if (!existsSync(converted))
    ctx.log('no domain made by KubeVirt here (VSMMU_SHARED_DATA): the demo’s is used');
  const domain = await readFile(existsSync(converted) ? converted : join(demo, 'two-gpu.domain.xml'), 'utf8');
  return {
    domain,
    vmi: {
      apiVersion: 'kubevirt.io/v1',
      kind: 'VirtualMachineInstance',
      metadata: { name: 'vm', namespace: 'ns', annotations: { [RESOLVED]: annotation.trim() } },
      spec: { domain: { devices: {} } },
      status: { nodeName: node, phase: 'Scheduled' },
    },
  };
}

/** Attributes of every vSMMU's driver, in the domain's order. */
function smmus(xml) {
  return [...xml.matchAll(/<iommu model=["']smmuv3["']>\s*<driver ([^>]*?)\/?>/g)].map(([, attributes]) =>
    parse(attributes),
  );
}

/**
 * What the annotation says of each vSMMU's device, found the other way round than vsmmu does it:
 * device -> root port -> expander bus -> <iommu> with that pciBus.
 */
function expectedSmmus(sent, vmi) {
  const { smmus: values, groups, devices } = JSON.parse(vmi.metadata.annotations[RESOLVED]);
  const parentBus = new Map(
    [...sent.matchAll(/<controller type=["']pci["'] index=["'](\d+)["'][\s\S]*?<\/controller>/g)].map(
      ([text, index]) => [Number(index), Number(/<address [^>]*\bbus=["'](\w+)["']/.exec(text)?.[1] ?? 0)],
    ),
  );
  const bySmmuBus = new Map(
    [...sent.matchAll(/<hostdev\b[\s\S]*?<\/hostdev>/g)].map(([text]) => {
      const [source, guest] = [...text.matchAll(/<address ([^>]*?)\/?>/g)].map(([, attributes]) =>
        parse(attributes),
      );
      const [domain, bus, slot, fn] = [source.domain, source.bus, source.slot, source.function].map(Number);
      const bdf = `${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${fn}`;
      return [parentBus.get(Number(guest.bus)), values[groups[devices[bdf]].smmu]];
    }),
  );
  return smmus(sent).map(({ pciBus }) => {
    // cmdqv=off is what every vSMMU has that doesn't name it; KubeVirt and libvirt before 12.8 don't know the attribute.
    const { cmdqv, ...rest } = bySmmuBus.get(Number(pciBus));
    return {
      pciBus,
      ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)])),
    };
  });
}

function hex(number, digits) {
  return number.toString(16).padStart(digits, '0');
}

function parse(attributes) {
  return Object.fromEntries(
    [...attributes.matchAll(/([\w-]+)=["']([^"']*)["']/g)].map(([, name, value]) => [name, value]),
  );
}

/** Source addresses of the passed-through devices. */
function hostDevices(xml) {
  return [...xml.matchAll(/<hostdev[\s\S]*?<source>\s*<address ([^>]*?)\/?>/g)].map(([, address]) => address);
}
