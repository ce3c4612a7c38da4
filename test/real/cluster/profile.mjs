import assert from 'node:assert/strict';
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { devicesOverNodes, writeRecording } from '../kubelet/recording.mjs';

const PROFILES = '/apis/vsmmu.io/v1alpha1/nodeprofiles';

export const PROFILE = {
  published: 'a host is published as its node’s NodeProfile, and read back as the same values',
  quiet: 'the same host again is no write; a changed one is a write of its own',
  large: 'a node with 1,024 devices is stored',
  foreign: 'the schema refuses another node’s name, a device without its SMMU, and a wrong summary',
};

export async function profileChecks(ctx, cluster, product) {
  const { admin } = cluster;
  const log = Object.fromEntries(['debug', 'info', 'warn', 'error'].map((level) => [level, () => undefined]));
  const client = new product.KubeClient(
    product.staticAccess(cluster.url, { ca: cluster.ca, token: cluster.adminToken }),
  );
  const folder = await mkdtemp(join(tmpdir(), 'vsmmu-profile-'));
  const report = async (devices) => {
    await writeRecording(folder, devices);
    const host = await product.openHost({ host: folder });
    try {
      return await product.probeHost(host, { signal: ctx.signal });
    } finally {
      await host.close();
    }
  };
  const publisher = (node) => new product.ProfilePublisher({ client, node, log });
  const writes = async (node) =>
    (await cluster.audit()).filter(
      ({ objectRef, verb }) =>
        objectRef?.resource === 'nodeprofiles' && objectRef.name === node && verb === 'patch',
    ).length;
  try {
    const four = await report(devicesOverNodes(4, 2));
    const first = publisher('node-1');
    await ctx.check(PROFILE.published, async () => {
      assert.equal(await first.publish(four, ctx.signal), 'both');
      const profile = product.parseNodeProfile(await admin.get(`${PROFILES}/node-1`));
      const { devices } = JSON.parse(profile.annotation);
      assert.deepEqual(
        Object.keys(devices).sort(),
        devicesOverNodes(4, 2).map(({ bdf }) => bdf),
      );
    });
    await ctx.check(PROFILE.quiet, async () => {
      const before = await writes('node-1');
      assert.equal(await first.publish(four, ctx.signal), 'nothing');
      assert.equal(await writes('node-1'), before);
      assert.equal(
        await publisher('node-1').publish(four, ctx.signal),
        'status',
        'a restarted agent wrote the same spec',
      );
      assert.equal(await first.publish(await report(devicesOverNodes(3, 1)), ctx.signal), 'both');
    });
    await ctx.check(PROFILE.large, async () => {
      const result = await publisher('node-large').publish(
        await report(devicesOverNodes(1024, 4)),
        ctx.signal,
      );
      assert.equal(result, 'both');
      const stored = await admin.get(`${PROFILES}/node-large`);
      const profile = product.parseNodeProfile(stored);
      ctx.log(
        `stored: ${Math.round(JSON.stringify(stored).length / 1024)} KiB; annotation: ` +
          `${Math.round(profile.annotation.length / 1024)} KiB of 256`,
      );
      assert.ok(profile.annotation.length < 200 * 1024);
    });
    await ctx.check(PROFILE.foreign, async () => {
      const good = await admin.get(`${PROFILES}/node-1`);
      const { spec } = good;
      const refused = async (change, message) => {
        const body = {
          apiVersion: good.apiVersion,
          kind: good.kind,
          metadata: { name: 'try' },
          spec: { ...spec, node: 'try', ...change },
        };
        const { status, body: answer } = await admin.exchange('POST', PROFILES, {
          body,
          query: { dryRun: 'All' },
        });
        assert.equal(status, message === undefined ? 201 : 422, JSON.stringify(answer));
        if (message !== undefined) assert.match(answer.message, message);
      };
      await refused({}, undefined);
      await refused({ node: 'other' }, /spec\.node must be the name/);
      await refused(
        { devices: [{ ...spec.devices[0], smmu: 'nowhere' }], summary: { ...spec.summary, devices: 1 } },
        /one of the SMMUs/,
      );
      await refused({ summary: { ...spec.summary, devices: 99 } }, /summary must count/);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
