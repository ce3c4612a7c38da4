import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { withLoad } from '../webhook/load.mjs';
import { vmi, VMIS } from '../webhook/vmi.mjs';
import { MUTATING, SECRET } from './installation.mjs';

const ADMISSIONS = 5000;
const ROTATIONS = 2;
/** Seconds. A new authority comes every 40 s, a new leaf every 20 s: more than a thousandfold pace. */
const PACE = ['--ca-lifetime', '60', '--leaf-lifetime', '30'];

export const ROTATION = {
  rotated: `8 writers, at least ${ADMISSIONS} admissions, at least ${ROTATIONS} new authorities, the Secret deleted and spoiled meanwhile: none fails`,
};

export async function rotationChecks(ctx, cluster, installation) {
  const { admin } = cluster;
  const create = (name, options) =>
    admin.exchange('POST', VMIS, { body: vmi(name, options), query: { dryRun: 'All' } });
  const bundle = async () => (await admin.get(MUTATING)).webhooks[0].clientConfig.caBundle;

  await ctx.check(ROTATION.rotated, async () => {
    await installation.stop('SIGTERM');
    await admin.delete(SECRET);
    await installation.start(2, PACE);
    await eventually('it admits', async () => (await create('before', { gpus: 1 })).status === 201);
    const bundles = new Set();
    const authorities = new Set();
    const start = performance.now();
    const count = await withLoad(create, async (load) => {
      let done = 0;
      const spoil = [
        () => admin.delete(SECRET),
        () => admin.patch(SECRET, 'merge', { data: { 'authorities.json': 'AAAA' } }),
        () => admin.patch(SECRET, 'merge', { data: null }),
      ];
      while (done < ADMISSIONS || authorities.size < ROTATIONS + 1) {
        await load.reached(200);
        done += 200;
        const pem = Buffer.from(await bundle(), 'base64').toString();
        bundles.add(pem);
        for (const cert of pem.split('-----END CERTIFICATE-----\n').filter(Boolean)) authorities.add(cert);
        if (done % 1600 === 0) await spoil.shift()?.();
      }
    });
    const seconds = Math.round((performance.now() - start) / 1000);
    ctx.log(
      `${count} admissions in ${seconds} s over ${authorities.size} authorities and ${bundles.size} bundles`,
    );
    assert.ok(count >= ADMISSIONS);
  });
}
