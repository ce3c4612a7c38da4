import assert from 'node:assert/strict';
import { eventually } from '../kubernetes/eventually.mjs';
import { withLoad } from '../webhook/load.mjs';
import { vmi, VMIS } from '../webhook/vmi.mjs';

const SECRETS = '/api/v1/namespaces/vsmmu-system/secrets';
const CONFIGURATION = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/vsmmu-webhook';

export const CERTIFICATES = {
  rotation:
    'its CA is replaced under load, its Secret deleted and spoiled meanwhile: of 5,000 admissions none fails',
};

export async function certificateChecks(ctx, cluster) {
  const { admin } = cluster;
  const create = (name, options) =>
    admin.exchange('POST', VMIS, { body: vmi(name, options), query: { dryRun: 'All' } });
  const bundle = async () => (await admin.get(CONFIGURATION)).webhooks[0].clientConfig.caBundle;
  const secretName = async () => {
    const { items } = await admin.get(SECRETS);
    return items.find(({ data }) => data?.['authorities.json'] !== undefined)?.metadata.name;
  };
  /** Two changes of what the API server trusts: the next authority came, and the one before went. */
  const rotated = async () => {
    for (const step of ['a new CA is trusted', 'an old CA is gone']) {
      const before = await bundle();
      await eventually(step, async () => (await bundle()) !== before, 90);
    }
  };

  await ctx.check(CERTIFICATES.rotation, async () => {
    const count = await withLoad(create, async (load) => {
      await rotated();
      const name = await secretName();
      await admin.delete(`${SECRETS}/${name}`);
      await eventually('the Secret is there again', async () => (await secretName()) === name, 60);
      await load.reached(200);
      await admin.patch(`${SECRETS}/${name}`, 'merge', {
        data: { 'authorities.json': Buffer.from('[{').toString('base64') },
      });
      await eventually(
        'the Secret is good again',
        async () => {
          const { data } = await admin.get(`${SECRETS}/${name}`);
          return JSON.parse(Buffer.from(data['authorities.json'], 'base64').toString()).length > 0;
        },
        60,
      );
      await rotated();
      await load.reached(Math.max(200, 5000 - load.count));
    });
    ctx.log(`${count} admissions`);
    assert.ok(count >= 5000);
  });
}
