// vsmmu's Kubernetes client, watch cache and profile publisher against a real kube-apiserver with a real etcd, behind a
// proxy that does what networks and overloaded servers do.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Cluster } from '../kubernetes/cluster.mjs';
import { eventually } from '../kubernetes/eventually.mjs';
import { FaultyProxy } from '../kubernetes/faulty-proxy.mjs';
import { CACHE, cacheChecks } from './cache.mjs';
import { loadProduct } from '../kubernetes/product.mjs';
import { PROFILE, profileChecks } from './profile.mjs';

const crds = 'the API server takes every CRD of the chart, and serves its kind';

export const suite = {
  name: 'cluster',
  needs: 'Go, for kube-apiserver and etcd; openssl',
  timeoutMinutes: 12,
  checks: [crds, ...Object.values(PROFILE), ...Object.values(CACHE)],
  async run(ctx) {
    const product = await loadProduct(ctx);
    const folder = await mkdtemp(join(tmpdir(), 'vsmmu-proxy-'));
    const cluster = await Cluster.start(ctx);
    const proxy = await FaultyProxy.start(ctx, cluster, folder);
    try {
      await ctx.check(crds, () => installCrds(ctx, cluster));
      await profileChecks(ctx, cluster, product);
      await cacheChecks(ctx, cluster, proxy, product);
    } finally {
      proxy.close();
      await cluster.stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function installCrds(ctx, { admin }) {
  const folder = join(ctx.root, 'charts', 'vsmmu', 'files', 'crds');
  const refused = [];
  for (const file of await readdir(folder)) {
    const crd = parse(await readFile(join(folder, file), 'utf8'));
    const { status, body, warnings } = await admin.exchange(
      'POST',
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
      { body: crd, query: { fieldValidation: 'Strict' } },
    );
    if (status !== 201) {
      refused.push(`${file}: ${body.message}`);
      continue;
    }
    assert.deepEqual(warnings, [], file);
    const { group, names, versions } = crd.spec;
    await eventually(`${names.plural} are served`, () =>
      admin.get(`/apis/${group}/${versions[0].name}/${names.plural}`),
    );
  }
  assert.deepEqual(refused, []);
}
