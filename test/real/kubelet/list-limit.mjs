import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const LIST_LIMIT = {
  capped:
    'the 4 MiB limit: of 130,000 devices those that one answer holds are counted, the rest is told, and the stream stays',
  whole:
    'the 4 MiB limit: an answer with all 130,000 makes kubelet drop the plugin; a shorter one brings it back',
};

const DEVICES = 130_000;

// vsmmu's own code in this process: no recording of a host, and no scan of one, for so many devices.
export async function listLimitChecks(ctx, program) {
  const product = await loadProduct(ctx);
  await ctx.check(LIST_LIMIT.capped, () => capped(ctx, program, product));
  await ctx.check(LIST_LIMIT.whole, () => whole(ctx, program, product));
}

async function capped(ctx, program, product) {
  await withNode(ctx, { program, devices: devicesOverNodes(1, 1) }, async (node) => {
    await node.startKubelet({ numa: [0, 1] });
    const host = await manyAsOne(product, node.file('host'));
    const log = new Lines();
    const stop = new AbortController();
    const gone = new Set();
    let port;
    const running = product.startAgent(
      {
        kubeletDir: node.directory,
        source: present(gone),
        scan: () => Promise.resolve(host),
        configFile: undefined,
        stateDir: node.file('state'),
        http: '127.0.0.1:0',
        onHttp: (bound) => (port = bound),
        mode: 'register',
        iommufd: 'auto',
        cdiDir: node.file('cdi'),
        rescanMs: 200,
        hints: [],
        log,
      },
      stop.signal,
    );
    try {
      const { LISTED_MAX } = product;
      ctx.log(`${LISTED_MAX} counted after ${Math.round(await node.counts(LISTED_MAX, LISTED_MAX))} ms`);
      gone.add(host.devices[0].bdf);
      await node.counts(LISTED_MAX, LISTED_MAX - 1);
      assert.equal(log.of('Registered with the kubelet.').length, 1, 'the stream did not stay');
      const leftOut = DEVICES - LISTED_MAX;
      assert.deepEqual(
        log.of('Devices are not advertised.').map(({ count }) => count),
        [leftOut],
      );
      const { notAdvertised } = await (await fetch(`http://127.0.0.1:${port}/status`)).json();
      assert.deepEqual(
        notAdvertised.map(({ bdf }) => bdf),
        host.devices.slice(LISTED_MAX).map(({ bdf }) => bdf),
      );
      assert.ok(notAdvertised.every(({ reason }) => reason.includes(RESOURCE)));
      const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      assert.ok(metrics.includes(`vsmmu_devices_not_advertised ${leftOut}\n`));
    } finally {
      stop.abort();
      await running;
    }
  });
}

/** What the limit is for: the same plugin where nothing keeps its list short. */
async function whole(ctx, program, product) {
  await withNode(ctx, { program, devices: [] }, async (node) => {
    await node.startKubelet({ numa: [0, 1] });
    const directories = product.kubeletDirectories(node.directory);
    const watch = new product.DirectoryWatch(directories.devicePlugins);
    const log = new Lines();
    const plugins = new product.ResourcePlugins({
      mode: 'register',
      directories,
      watch,
      claims: new product.GroupClaims(),
      settings: { iommufd: 'auto', cdi: undefined },
      metrics: new product.Metrics(),
      onOutdated: () => {},
      log,
    });
    const all = addresses().map((bdf) => ({ bdf, numaNode: 1, health: { healthy: true } }));
    const few = all.slice(0, 4);
    try {
      plugins.announce(RESOURCE, few);
      await node.counts(4, 4);
      plugins.announce(RESOURCE, all);
      await node.counts(4, 0);
      await eventually('it is dropped at each registration', () => log.of('Registration ended.').length >= 2);
      const ended = log.of('Registration ended.').map(({ reason }) => reason);
      assert.deepEqual([...new Set(ended)], ['the kubelet ended the device stream']);
      plugins.announce(RESOURCE, few);
      await node.counts(4, 4);
    } finally {
      await plugins.close();
      watch.close();
    }
  });
}

/** The longest addresses there are. */
function addresses() {
  return Array.from({ length: DEVICES }, (_, n) => `${(0xf000_0000 + n).toString(16)}:01:00.0`);
}

/** The report of a host that has one device many times. */
async function manyAsOne({ openHost, probeHost }, recording) {
  const source = await openHost({ host: recording });
  try {
    const report = await probeHost(source);
    const [device] = report.devices;
    return { ...report, devices: addresses().map((bdf) => ({ ...device, bdf })) };
  } finally {
    await source.close();
  }
}

/** A host on which each device is as the recording's only one, but for those that are gone. */
function present(gone) {
  const values = { driver: 'vfio-pci', iommu_group: '1' };
  const of = (path) => path.split('/')[5];
  return {
    exists: (path) => ({ ok: true, value: !gone.has(of(path)) }),
    // The agent looks again when what is here changes.
    list: (path) => ({ ok: true, value: path === '/sys/bus/pci/devices' ? [...gone] : [] }),
    readLink: (path) =>
      gone.has(of(path))
        ? { ok: false, errno: 'ENOENT', because: 'it is gone' }
        : { ok: true, value: values[path.slice(path.lastIndexOf('/') + 1)] },
  };
}

/** A log of which the lines can be looked for. */
class Lines {
  #lines = [];
  debug() {}
  info = (message, fields) => this.#lines.push({ message, ...fields });
  warn = this.info;
  error = this.info;

  of(message) {
    return this.#lines.filter((line) => line.message === message);
  }
}
