import assert from 'node:assert/strict';
import { pathsOf, renderChart } from '../kubernetes/chart.mjs';

export const CHART = {
  dryRun: 'every object of the chart passes a server-side dry run, with strict fields',
  applied: 'every object of the chart is accepted, and applying it again changes nothing',
};

export async function chartChecks(ctx, cluster) {
  const { admin } = cluster;
  const namespace = 'chart-test';
  const strict = { fieldValidation: 'Strict' };
  let objects = [];
  const resourceOf = async (object) => {
    // Tests of Helm and objects of other projects' kinds (cert-manager, Prometheus) have no place here.
    const { path } = pathsOf(object);
    const { status } = await admin.exchange('GET', path.slice(0, path.lastIndexOf('/')));
    return status === 200 ? path : undefined;
  };
  await ctx.check(CHART.dryRun, async () => {
    objects = await renderChart(ctx, { namespace });
    await admin.create('/api/v1/namespaces', { metadata: { name: namespace } });
    for (const object of objects) {
      const path = await resourceOf(object);
      assert.ok(path, `${object.kind} is no kind of this API server`);
      await admin.apply(path, object, { ...strict, dryRun: 'All' });
    }
    ctx.log(`${objects.length} objects: ${[...new Set(objects.map(({ kind }) => kind))].join(', ')}`);
  });
  await ctx.check(CHART.applied, async () => {
    // The webhook of this run stays the only one: a second would call a service that isn't there.
    const ours = objects.filter(({ kind }) => !/WebhookConfiguration$/.test(kind));
    assert.ok(ours.length > 0);
    const versions = new Map();
    for (const round of [1, 2]) {
      for (const object of ours) {
        const { path } = pathsOf(object);
        const { metadata } = await admin.apply(path, object, strict);
        if (round === 2) assert.equal(metadata.resourceVersion, versions.get(path), `${path} changed`);
        versions.set(path, metadata.resourceVersion);
      }
    }
  });
}
