import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../kubernetes/eventually.mjs';
import { JsonLinesProgram } from '../kubernetes/json-lines.mjs';
import { NotRun } from '../lib/outcome.mjs';

export const PLUGIN = {
  dropped:
    'KubeVirt drops the values of a sidecar, attributes and override, as soon as the cluster has any Plugin (known; its pipeline’s types)',
  served: 'called by KubeVirt’s Plugin pipeline, the hook’s override carries every value for every vSMMU',
  closed: 'called by KubeVirt’s Plugin pipeline without values, it fails closed',
};

const SEEN_AT = '/var/run/kubevirt-plugin/vsmmu'; // KubeVirt's own folder for plugins' sockets

/**
 * @param {string} program kubevirt-hooks @param {string} image vsmmu
 * @param {{ domain: string, vmi: any, expected: (sent: string) => Record<string, string>[] }} example
 */
export async function pluginChecks(ctx, program, image, { domain, vmi, expected, defineAsSidecar }) {
  if (process.getuid() !== 0) throw new NotRun('needs root to show the plugin’s socket where KubeVirt looks');
  const folder = await mkdtemp(join(tmpdir(), 'vsmmu-plugin-'));
  await chmod(folder, 0o755);
  // virt-launcher's view: nothing in /run but the plugin's folder.
  const view = `mount -t tmpfs none /run && mkdir -p /run/kubevirt-plugin/vsmmu && mount --bind "$0" ${SEEN_AT} && exec "$@"`;
  const launcher = new JsonLinesProgram(
    ctx.start('unshare', ['--mount', '/bin/sh', '-c', view, folder, program], {
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
  );
  const hook = ctx.start(process.execPath, [
    image,
    'hook',
    '--plugins',
    '--plugin-socket',
    join(folder, 'domain.sock'),
  ]);
  const ended = once(hook, 'exit');
  let said = '';
  hook.stderr.on('data', (text) => (said += text));
  const pipeline = (xml, of, hooks) =>
    launcher.call('plugins', {
      domain: xml,
      vmi: of,
      plugins: [{ metadata: { name: 'vsmmu' }, spec: { domainHooks: hooks } }],
    });
  const ours = [{ sidecar: { socketPath: join(SEEN_AT, 'domain.sock') } }];
  // KubeVirt's pipeline refuses its own PCI hostdevs without a mode (kubevirt#18861); another fix than ours is assumed.
  const repaired = domain.replaceAll('<hostdev type="pci"', '<hostdev mode="subsystem" type="pci"');
  try {
    await eventually('the plugin serves', () => /"serving"/.test(said), 30);
    await ctx.check(PLUGIN.dropped, async () => {
      const { defined } = await pipeline(await defineAsSidecar(), vmi, []);
      assert.doesNotMatch(defined, /accel=|ssid[sS]ize|<qemu:override/);
      assert.match(defined, /<iommu model="smmuv3">/);
    });
    await ctx.check(PLUGIN.served, async () => {
      const { defined } = await pipeline(repaired, vmi, ours);
      assert.deepEqual(
        overrides(defined),
        expected(domain).map(({ pciBus, ...values }) => values),
      );
    });
    await ctx.check(PLUGIN.closed, async () => {
      const bare = { ...vmi, metadata: { ...vmi.metadata, annotations: {} } };
      await assert.rejects(pipeline(repaired, bare, ours), /ANNOTATION_MISSING/);
    });
  } finally {
    ctx.end(hook, 'SIGKILL');
    await ended;
    await launcher.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The properties of each vSMMU in <qemu:override>, as libvirt spells their values. */
function overrides(xml) {
  return [...xml.matchAll(/<(?:\w+:)?device alias="iommu\d+">([\s\S]*?)<\/(?:\w+:)?device>/g)].map(
    ([, device]) =>
      Object.fromEntries(
        [...device.matchAll(/name="(\w+)" type="\w+" value="([^"]*)"/g)].map(([, name, value]) => [
          name,
          value === 'true' ? 'on' : value,
        ]),
      ),
  );
}
