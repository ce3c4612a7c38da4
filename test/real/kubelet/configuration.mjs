import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { eventually } from '../kubernetes/eventually.mjs';
import { goProgram } from '../kubernetes/go-program.mjs';
import { podOf, requireOption, RESOURCE, withNode } from './node.mjs';
import { devicesOverNodes } from './recording.mjs';

export const CONFIGURATION = {
  features:
    'resources by feature: kubelet counts what the rule selects, under the name that the template gives',
  reload:
    'a changed file renames a resource: the new one is counted, the old one is at 0, a pod keeps its devices',
  renamed: 'an agent that starts with another name for a device in use hands it out to nobody else',
  malformed: 'a malformed file changes nothing and is told with its line',
  http: '/healthz and /readyz answer, and /metrics counts what kubelet did',
};

const HEAD = 'apiVersion: vsmmu.io/v1alpha1\nkind: AgentConfig\n';

export async function configurationChecks(ctx, program) {
  await ctx.check(CONFIGURATION.features, async () => {
    const rules =
      'resources:\n' +
      '  - name: example.com/wide{-ats}\n    select: { ats: yes, pasidBits: ">= 16", numa: 1 }\n' +
      'otherwise: example.com/rest\n';
    await configured(ctx, program, rules, async (node) => {
      await node.counts(4, 4, 'example.com/wide-ats');
      await node.counts(4, 4, 'example.com/rest');
      assert.equal((await node.run('a', 2, 'example.com/wide-ats')).length, 2);
      assert.deepEqual(Object.keys((await node.options('a')).env), ['PCI_RESOURCE_EXAMPLE_COM_WIDE-ATS']);
    });
  });
  await ctx.check(CONFIGURATION.reload, () =>
    configured(ctx, program, 'otherwise: example.com/before\n', async (node, write) => {
      await node.counts(8, 8, 'example.com/before');
      const held = await node.run('a', 1, 'example.com/before');
      await write('otherwise: example.com/after\n');
      await eventually('the new resource is counted and the old one is not', async () => {
        const { allocatable } = await node.kubelet.call('capacity');
        return allocatable['example.com/after'] > 0 && (allocatable['example.com/before'] ?? 0) === 0;
      });
      assert.deepEqual(await node.devicesOf('a', 'example.com/before'), held);
      const all = await node.admit(podOf('all', { 'example.com/after': 8 }));
      assert.equal(all.admitted, false, 'the device of pod a was handed out again under its new name');
      assert.equal((await node.run('b', 7, 'example.com/after')).includes(held[0]), false);
    }),
  );
  await ctx.check(CONFIGURATION.renamed, () =>
    configured(ctx, program, 'otherwise: example.com/before\n', async (node, write, agent) => {
      await node.counts(8, 8, 'example.com/before');
      const held = await node.run('a', 1, 'example.com/before');
      await agent.kill();
      await write('otherwise: example.com/after\n');
      node.startAgent(agent.arguments);
      await eventually('the new resource is counted', async () => {
        const { allocatable } = await node.kubelet.call('capacity');
        return allocatable['example.com/after'] >= 7;
      });
      const all = await node.admit(podOf('all', { 'example.com/after': 8 }));
      assert.equal(all.admitted, false, `${held} was handed out again under its new name`);
    }),
  );
  await ctx.check(CONFIGURATION.malformed, () =>
    configured(ctx, program, 'otherwise: example.com/before\n', async (node, write, agent) => {
      await node.counts(8, 8, 'example.com/before');
      await write('otherwise: "no slash"\nnonsense: 1\n');
      await eventually('the fault is told', () => /CONFIG_MALFORMED|agent\.yaml/.test(agent.log));
      await node.counts(8, 8, 'example.com/before');
      await write('otherwise: example.com/after\n');
      await node.counts(8, 8, 'example.com/after');
    }),
  );
  await ctx.check(CONFIGURATION.http, () => httpEndpoints(ctx, program));
}

/** The case of kubelet's suite in which a container gets its device by CDI. */
export async function cdiDevice(ctx, program) {
  await requireOption(ctx, '--cdi-dir');
  const reader = await goProgram(ctx, 'cdi-check');
  const schema = await goProgram(ctx, 'cdi-schema', 'go-cdi-schema');
  await configured(ctx, program, 'cdi: true\n', async (node) => {
    await node.counts(8, 8);
    assert.equal(JSON.parse((await ctx.run(schema, [node.file('cdi')])).stdout).length, 1);
    const [bdf] = await node.run('a', 1);
    const { cdi, env } = await node.options('a');
    assert.equal(cdi.length, 1);
    assert.deepEqual(env, { 'PCI_RESOURCE_VSMMU_IO_10DE-2941-ATS': bdf });
    const known = JSON.parse((await ctx.run(reader, [node.file('cdi')])).stdout);
    const group = Number.parseInt(bdf.slice(0, 4), 16);
    assert.ok(known[cdi[0]], `${cdi[0]} is in no specification, which hold ${Object.keys(known)}`);
    for (const path of ['/dev/vfio/vfio', `/dev/vfio/${group}`, `/dev/vfio/devices/vfio${group}`]) {
      assert.ok(known[cdi[0]].nodes.includes(path), path);
    }
  });
}

async function configured(ctx, program, rules, use) {
  await requireOption(ctx, '--config');
  await withNode(ctx, { program, devices: devicesOverNodes(8, 2) }, async (node) => {
    const file = node.file('agent.yaml');
    const write = async (text) => {
      await writeFile(`${file}.new`, HEAD + text);
      await rename(`${file}.new`, file);
    };
    await write(rules);
    await node.startKubelet({ numa: [0, 1] });
    const agent = node.startAgent(['--config', file, '--cdi-dir', node.file('cdi')]);
    await use(node, write, agent);
  });
}

async function httpEndpoints(ctx, program) {
  await requireOption(ctx, '--http');
  await withNode(ctx, { program, devices: devicesOverNodes(2, 1) }, async (node) => {
    const agent = node.startAgent(['--http', '127.0.0.1:0']);
    const port = await eventually('it says where it serves', () => /"port":(\d+)/.exec(agent.log)?.[1]);
    const get = async (path) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      return { status: answer.status, text: await answer.text() };
    };
    assert.notEqual((await get('/readyz')).status, 200, 'ready without a kubelet');
    await node.startKubelet();
    await node.counts(2, 2);
    await eventually('it is ready', async () => (await get('/readyz')).status === 200);
    assert.equal((await get('/healthz')).status, 200);
    await node.run('a', 1);
    const { text } = await get('/metrics');
    assert.match(text, new RegExp(`^vsmmu_\\w*alloc\\w*\\{[^}]*${RESOURCE}[^}]*\\} 1$`, 'm'));
  });
}
